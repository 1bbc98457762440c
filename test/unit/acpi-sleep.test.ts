// The sleep registers: S5 turns the machine off, anything else does nothing.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { EndRequest } from '../../shared/device.ts';
import { acpiSleep } from '../../src/main/devices/acpi-sleep.ts';

const test = suite('ACPI sleep registers');

/** What a write of `value` at `offset` asks for. */
function ends(offset: number, value: number): EndRequest[] {
  const ended: EndRequest[] = [];
  acpiSleep().write?.(offset, 1, value, { vcpu: 0, end: reason => void ended.push(reason) });
  return ended;
}

test('SLP_EN with the type of S5 powers off', () => {
  assert.equal(ends(0, 0x20 | (5 << 2)), ['power-off']);
});

test('another type, no SLP_EN, or the status register: nothing', () => {
  assert.equal(
    [ends(0, 0x20), ends(0, 0x20 | (3 << 2)), ends(0, 5 << 2), ends(1, 0x80 | 0x20 | (5 << 2))],
    [[], [], [], []],
  );
});

test('both registers read as zero: nothing woke', () => {
  const access = { vcpu: 0, end: () => {} };
  assert.equal([acpiSleep().read?.(0, 1, access), acpiSleep().read?.(1, 1, access)], [0, 0]);
});

test.run();
