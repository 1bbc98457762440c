// What is typed on the way to the guest: escapes, whole and in pieces; raw mode and its end.

import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EscapeFilter, GuestInput } from '../../src/main/cli/guest-input.ts';
import { serialPort } from '../../src/main/devices/serial.ts';

const test = suite('guest input');
const nobody = { vcpu: 0, end: () => {} };

/** What the guest gets of these pieces, and whether one asked for the end. */
function typed(...pieces: string[]): [string, boolean] {
  const filter = new EscapeFilter();
  let sent = '';
  for (const piece of pieces) {
    const { send, quit } = filter.feed(Buffer.from(piece, 'latin1'));
    sent += Buffer.from(send).toString('latin1');
    if (quit) return [sent, true];
  }
  return [sent, false];
}

test('escapes', () => {
  assert.equal(typed('plain \x03\x04\x1a'), ['plain \x03\x04\x1a', false]);
  assert.equal(typed('a\x01x', 'b'), ['a', true]);
  assert.equal(typed('a\x01', 'x'), ['a', true]);
  assert.equal(typed('a\x01\x01x'), ['a\x01x', false]);
  assert.equal(typed('a\x01qb'), ['ab', false]);
});

function terminal() {
  const modes: boolean[] = [];
  const stream = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (raw: boolean) => modes.push(raw) });
  return { stream, modes };
}

test('a terminal is raw until end(), keys wait until the port is open, and Ctrl-A x is told once', async () => {
  const port = serialPort();
  const { stream, modes } = terminal();
  const listeners = process.listenerCount('exit');
  let quits = 0;
  const input = new GuestInput(port.console, stream, () => {
    quits += 1;
  });
  assert.equal(modes, [true]);
  stream.write('k');
  await turn();
  assert.is(Number(port.read?.(5, 1, nobody)) & 1, 0, 'nothing is there before a driver has opened the port');
  port.write?.(1, 1, 1, nobody);
  await turn();
  assert.is(port.read?.(0, 1, nobody), 'k'.charCodeAt(0));
  stream.write('\x01x\x01x');
  await turn();
  assert.equal([quits, input.wasQuit], [1, true]);
  input.end();
  assert.equal(modes, [true, false]);
  assert.is(process.listenerCount('exit'), listeners);
});

test('more than the guest takes stops the terminal until there is room', async () => {
  const port = serialPort();
  const { stream } = terminal();
  const input = new GuestInput(port.console, stream, () => {});
  port.write?.(2, 1, 1, nobody);
  port.write?.(1, 1, 1, nobody);
  stream.write('z'.repeat(50_000));
  await turn();
  assert.ok(stream.isPaused());
  let got = 0;
  while (got < 50_000) {
    while ((Number(port.read?.(5, 1, nobody)) & 1) !== 0) {
      port.read?.(0, 1, nobody);
      got += 1;
    }
    await turn();
  }
  assert.not(stream.isPaused());
  input.end();
});

test.run();
