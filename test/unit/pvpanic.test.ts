// The panic port: what it offers, and what ends the VM.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { EndRequest } from '../../shared/device.ts';
import { pvpanic } from '../../src/main/devices/pvpanic.ts';

const test = suite('panic port');

function ends(value: number): EndRequest[] {
  const ended: EndRequest[] = [];
  pvpanic().write?.(0, 1, value, { vcpu: 0, end: reason => void ended.push(reason) });
  return ended;
}

test('it offers the event "panicked" alone', () => {
  assert.is(pvpanic().read?.(0, 1, { vcpu: 0, end: () => {} }), 1);
});

test('that event ends the VM; others do nothing', () => {
  assert.equal([ends(1), ends(3), ends(2), ends(0)], [['panic'], ['panic'], [], []]);
});

test.run();
