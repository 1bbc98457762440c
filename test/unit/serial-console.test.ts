// The console of a serial port as a Node stream, an async iterator and Web streams; what happens when either side is slower.

import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SERIAL, SerialGuest } from '../serial-guest.ts';

const test = suite('serial console');

test('output arrives in chunks, by events, as an iterator and as a Web stream', async () => {
  const guest = new SerialGuest();
  const { port } = guest;
  guest.print('one');
  const iterator = port.console[Symbol.asyncIterator]();
  assert.is(String((await iterator.next()).value), 'one');
  guest.print('two');
  assert.is(String((await iterator.next()).value), 'two');
  await iterator.return?.();

  const other = new SerialGuest();
  const { readable, writable } = Duplex.toWeb(other.port.console);
  other.print('web');
  const { value } = await readable.getReader().read();
  assert.is(Buffer.from(value).toString(), 'web');
  await writable.getWriter().write(Buffer.from('a'));
  assert.is(other.take(), 'a');
});

test('output that nobody reads stays bounded: the newest bytes are kept, the others counted', async () => {
  const guest = new SerialGuest({ buffer: 1024 });
  const { port } = guest;
  const text = Array.from({ length: 5000 }, (_, i) => String.fromCharCode(0x30 + (i % 64))).join('');
  assert.ok(guest.print(text), 'the guest never waits');
  assert.is(port.console.dropped, 5000 - 1024);
  await turn();
  assert.is(port.console.readableLength, 0, 'nothing is pushed that nobody asked for');
  let got = '';
  for await (const chunk of port.console) {
    got += chunk;
    if (got.length >= 1024) break;
  }
  assert.is(got, text.slice(-1024));
});

test("with whenFull: 'wait' the guest waits, and nothing is lost", async () => {
  const guest = new SerialGuest({ buffer: 64, whenFull: 'wait' });
  const { port } = guest;
  const text = 'abcdefghij'.repeat(1000);
  let sent = 0;
  let waited = 0;
  let got = '';
  port.console.on('data', chunk => {
    got += chunk;
  });
  while (sent < text.length) {
    if (guest.print(text.charAt(sent))) sent += 1;
    else {
      waited += 1;
      await turn();
    }
  }
  while (got.length < text.length) await turn();
  assert.is(got, text);
  assert.ok(waited > 10);
  assert.is(port.console.dropped, 0);
});

test('input waits for the guest: 16 bytes in the FIFO, the rest in the stream, whose write() says when to stop', async () => {
  const guest = new SerialGuest();
  const { port } = guest;
  guest.set(SERIAL.FCR, 1);
  const text = '0123456789'.repeat(port.console.writableHighWaterMark / 4);
  let done = false;
  const more = port.console.write(text, () => {
    done = true;
  });
  assert.not(more);
  assert.is(guest.take(10), '0123456789');
  await turn();
  assert.not(done);
  assert.is(await guest.takeAll(text.length - 10), text.slice(10));
  while (!done) await turn();
});

test('input raises the interrupt, once for all that the FIFO takes', async () => {
  const guest = new SerialGuest();
  guest.set(SERIAL.FCR, 1);
  guest.set(SERIAL.IER, 1);
  guest.port.console.write('x'.repeat(16));
  assert.is(guest.interrupts, 1);
  assert.is(guest.take().length, 16);
  assert.is(guest.interrupts, 1);
  guest.port.console.write('y');
  assert.is(guest.interrupts, 2);
});

test('a console that was destroyed takes everything, and a waiting writer hears of it', async () => {
  const guest = new SerialGuest({ buffer: 16, whenFull: 'wait' });
  const { port } = guest;
  guest.print('x'.repeat(40));
  let failed: unknown;
  port.console.on('error', () => {});
  port.console.write('y'.repeat(40), error => {
    failed = error;
  });
  port.console.destroy(new Error('gone'));
  await turn();
  assert.instance(failed, Error);
  assert.ok(guest.print('z'.repeat(1000)));
});

test('opening the port is told once, later input by an interrupt; times are of the guest', async () => {
  const guest = new SerialGuest();
  const { port } = guest;
  assert.equal([port.firstByteNs, port.openNs], [0, 0]);
  const opened = once(port.console, 'open');
  guest.print('x');
  guest.set(SERIAL.IER, 1);
  await opened;
  assert.ok(port.firstByteNs > 0 && port.openNs >= port.firstByteNs);
  port.console.write('y');
  assert.equal([guest.interrupts, guest.take()], [1, 'y']);
});

test('after the end the stream ends too, and what is written vanishes', async () => {
  const guest = new SerialGuest();
  guest.print('last words');
  guest.port.hangUp();
  let text = '';
  for await (const chunk of guest.port.console) text += chunk;
  assert.is(text, 'last words');
});

test.run();
