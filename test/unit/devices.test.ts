// The built-in devices: a debug console that makes lines, and the ways to turn a PC off.

import { type Device, type DeviceAccess, debugConsole, powerDevices } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('built-in devices');
const nobody: DeviceAccess = { vcpu: 0, end: () => {} };

test('bytes become lines; the rest comes with flush()', () => {
  const lines: string[] = [];
  const device = debugConsole(0x402, line => lines.push(line));
  for (const byte of new TextEncoder().encode('größe\n\nlast')) device.write?.(0, 1, byte, nobody);
  assert.equal(lines, ['größe', '']);
  device.flush();
  device.flush();

  assert.equal(lines, ['größe', '', 'last']);
  assert.is(device.read?.(0, 1, nobody), 0xe9);
  assert.equal(device.pio, { base: 0x402, length: 1 });
});

test('a line that does not end is passed on in pieces', () => {
  const lines: string[] = [];
  const device = debugConsole(0xe9, line => lines.push(line));
  for (let i = 0; i < 5000; i++) device.write?.(0, 1, 0x61, nobody);

  assert.equal(
    lines.map(line => line.length),
    [4096],
  );
});

/** What the VM ends with when the guest writes `value` to `port`. */
function ends(port: number, value: number): string[] {
  const reasons: string[] = [];
  const device = powerDevices().find(
    ({ pio }: Device) => pio !== undefined && port >= pio.base && port < pio.base + pio.length,
  );
  device?.write?.(port - (device.pio?.base ?? 0), 2, value, { vcpu: 0, end: reason => reasons.push(reason) });
  return reasons;
}

test('power off and the two resets, and nothing by accident', () => {
  assert.equal(ends(0x604, 0x2000), ['power-off']);
  assert.equal(ends(0x604, 0x1c00), []);
  assert.equal(ends(0x64, 0xfe), ['reset']);
  assert.equal(ends(0x64, 0xd1), []);
  assert.equal(ends(0xcf9, 0x06), ['reset']);
  assert.equal(ends(0xcf9, 0x02), []);
});

test('the keyboard controller is no keyboard controller, and never too busy for a command', () => {
  const keyboard = powerDevices().find(({ pio }: Device) => pio?.base === 0x64);
  const status = Number(keyboard?.read?.(0, 1, nobody));
  assert.is(status & 0x01, 0x01, 'its output never ends');
  assert.is(status & 0x02, 0, 'its input is empty');
});

test('a console that could not work is refused', async () => {
  const make = (...args: unknown[]) => codeOf(() => debugConsole(...(args as Parameters<typeof debugConsole>)));
  assert.is(await make(), 'ERR_INVALID_ARG_TYPE');
  assert.is(await make('1', () => {}), 'ERR_INVALID_ARG_TYPE');
  assert.is(await make(0x402, 1), 'ERR_INVALID_ARG_TYPE');
  assert.is(await make(0x10000, () => {}), 'ERR_OUT_OF_RANGE');
  assert.is(await make(0x402, () => {}, { port: 1 }), 'ERR_UNKNOWN_OPTION');
});

test.run();
