// What is typed on the way to the guest: escapes, whole and in pieces; raw mode and its end.

import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EscapeFilter, GuestInput } from '../../src/main/cli/guest-input.ts';
import { SERIAL, SerialGuest } from '../serial-guest.ts';

const test = suite('guest input');

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
  const guest = new SerialGuest();
  const { port } = guest;
  const { stream, modes } = terminal();
  const listeners = process.listenerCount('exit');
  let quits = 0;
  const input = new GuestInput(port.console, stream, () => {
    quits += 1;
  });
  assert.equal(modes, [true]);
  stream.write('k');
  await turn();
  assert.is(guest.take(), '', 'nothing is there before a driver has opened the port');
  guest.set(SERIAL.IER, 1);
  assert.is(await guest.takeAll(1), 'k');
  stream.write('\x01x\x01x');
  await turn();
  assert.equal([quits, input.wasQuit], [1, true]);
  input.end();
  assert.equal(modes, [true, false]);
  assert.is(process.listenerCount('exit'), listeners);
});

test('more than the guest takes stops the terminal until there is room', async () => {
  const guest = new SerialGuest();
  const { port } = guest;
  const { stream } = terminal();
  const input = new GuestInput(port.console, stream, () => {});
  guest.set(SERIAL.FCR, 1);
  guest.set(SERIAL.IER, 1);
  const count = 2 * port.console.writableHighWaterMark;
  stream.write('z'.repeat(count));
  await turn();
  assert.ok(stream.isPaused());
  await guest.takeAll(count);
  assert.not(stream.isPaused());
  input.end();
});

test.run();
