// Look-ups in the device table against a naive search, and what its description refuses.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type DeviceEntry,
  DeviceTable,
  describeDevice,
  describeTable,
  devicesOverlap,
} from '../../shared/device-table.ts';
import { codeOf } from '../errors.ts';

const test = suite('device table');

const range = (most: number) => fc.record({ base: fc.nat(most), length: fc.integer({ min: 1, max: 40 }) });
const entry = fc.record({ pio: range(2000), mmio: range(2000) });

/** Devices that do not overlap, picked from random ones in order. */
function disjoint(
  ranges: readonly { pio: { base: number; length: number }; mmio: { base: number; length: number } }[],
): DeviceEntry[] {
  const picked: DeviceEntry[] = [];
  for (const [i, { pio, mmio }] of ranges.entries()) {
    const candidate: DeviceEntry = { name: `device ${i}`, where: 'main', pio, mmio };
    if (!picked.some(other => devicesOverlap(other, candidate))) picked.push(candidate);
  }
  return picked;
}

const within = (at: number, place: { base: number; length: number } | undefined): boolean =>
  place !== undefined && at >= place.base && at < place.base + place.length;

test('every port and address finds what a linear search finds', () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 12 }), fc.array(fc.nat(2100), { maxLength: 200 }), (ranges, places) => {
      const entries = disjoint(ranges);
      const table = new DeviceTable(describeTable(entries));
      for (const at of places) {
        assert.is(
          table.findPort(at),
          entries.findIndex(({ pio }) => within(at, pio)),
        );
        assert.is(
          table.findMmio(at),
          entries.findIndex(({ mmio }) => within(at, mmio)),
        );
      }
    }),
  );
});

test('overlaps are refused, and both devices are named', async () => {
  const overlapping = () =>
    describeTable([
      { name: 'first', where: 'main', mmio: { base: 0x1000, length: 0x1000 } },
      { name: 'second', where: 'io', mmio: { base: 0x1fff, length: 1 } },
    ]);

  assert.is(await codeOf(overlapping), 'ERR_DEVICE_OVERLAP');
  assert.throws(overlapping, /'first' \(addresses 0x1000-0x1fff\).*'second' \(addresses 0x1fff-0x1fff\)/);
});

test('ranges and modules of the wrong kind are refused', async () => {
  const describe = (device: unknown) => codeOf(() => describeDevice(device as Parameters<typeof describeDevice>[0]));
  const pio = { base: 1, length: 1 };
  const module = { kind: 'node-kvm.device-module', name: 'd', pio };
  for (const device of [
    { name: 'd', pio: null },
    { name: 'd', mmio: null },
    { name: 'd', pio: 5 },
    { name: 'd', pio: { base: '1', length: 1 } },
    { name: 'd', pio: { base: 1n, length: 1 } },
    { name: 'd', pio: { base: 1 } },
    module,
    { ...module, url: 'file:///d.js', where: 'io', state: new ArrayBuffer(8) },
  ]) {
    assert.is(await describe(device), 'ERR_INVALID_ARG_TYPE');
  }
  assert.is(await describe({ ...module, url: 'file:///d.js', where: 'main' }), 'ERR_OUT_OF_RANGE');
});

test.run();
