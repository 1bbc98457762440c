// The MP table: checksums, and the entries as a kernel reads them.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkHardware } from '../../src/main/images/hardware.ts';
import { mpTable } from '../../src/main/images/mp-table.ts';

const test = suite('MP table');
const BASE = 0xf_0000;
const PROCESSOR_SIZE = 20;
const ENTRY_SIZE = 8;
const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

/** The entries by type; pointer, header and checksums are asserted. */
function entries(vcpus: number, irq = 5, timer = true): Map<number, number[][]> {
  const virtio = [{ base: 0xc000_0000, size: 0x1000, irq }];
  const table = Buffer.from(mpTable(BASE, vcpus, checkHardware({ virtio, timer })));
  assert.is(table.toString('latin1', 0, 4), '_MP_');
  assert.is(sum(table.subarray(0, 16)), 0);
  const config = table.subarray(table.readUInt32LE(4) - BASE);
  assert.is(config.toString('latin1', 0, 4), 'PCMP');
  assert.is(config.readUInt16LE(4), config.byteLength);
  assert.is(sum(config), 0);
  assert.is(config.readUInt32LE(36), 0xfee0_0000);
  const found = new Map<number, number[][]>();
  let count = 0;
  for (let at = 44; at < config.byteLength; count++) {
    const type = config[at] ?? -1;
    const size = type === 0 ? PROCESSOR_SIZE : ENTRY_SIZE;
    found.set(type, [...(found.get(type) ?? []), [...config.subarray(at, at + size)]]);
    at += size;
  }
  assert.is(config.readUInt16LE(34), count);
  return found;
}

test('each vCPU, the first one as the boot processor', () => {
  assert.equal(
    entries(3)
      .get(0)
      ?.map(entry => [entry[1], entry[3]]),
    [
      [0, 3],
      [1, 1],
      [2, 1],
    ],
  );
});

test('the IOAPIC has an id that no processor has', () => {
  assert.equal(entries(3).get(2), [[2, 3, 0x11, 1, 0, 0, 0xc0, 0xfe]]);
});

test('ISA interrupts at their pins, the timer at pin 2, a device above 15 at its own', () => {
  const pins = (irq: number) =>
    entries(1, irq)
      .get(3)
      ?.map(entry => [entry[5], entry[7]]);
  const isa = [[0, 2], [1, 1], ...Array.from({ length: 13 }, (_, i) => [i + 3, i + 3])];

  assert.equal(pins(5), isa);
  assert.equal(pins(20), [...isa, [20, 20]]);
});

test('without a PIC and a PIT: no IRQ 0, and no external interrupt at LINT0', () => {
  const isa = (timer: boolean) =>
    entries(1, 5, timer)
      .get(3)
      ?.map(entry => entry[5]);
  const local = (timer: boolean) =>
    entries(1, 5, timer)
      .get(4)
      ?.map(entry => entry[1]);
  assert.ok(isa(true)?.includes(0));
  assert.not(isa(false)?.includes(0));
  assert.equal([local(true), local(false)], [[3, 1], [1]]);
});

test('more vCPUs than 8-bit ids: as many as there are ids', () => {
  assert.is(entries(300).get(0)?.length, 254);
});

test.run();
