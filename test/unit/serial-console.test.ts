// The console of a serial port as a Node stream, an async iterator and Web streams; what happens when either side is slower.

import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { DeviceAccess } from '../../shared/device.ts';
import { type SerialPort, type SerialPortOptions, serialPort } from '../../src/main/devices/serial.ts';
import { codeOf } from '../errors.ts';

const test = suite('serial console');
const nobody: DeviceAccess = { vcpu: 0, end: () => {} };
const DATA = 0;
const FCR = 2;
const LSR = 5;
const DATA_READY = 0x01;
const TRANSMITTER_EMPTY = 0x20;

const get = (port: SerialPort, register: number) => Number(port.read?.(register, 1, nobody));
const set = (port: SerialPort, register: number, value: number) => port.write?.(register, 1, value, nobody);

/** A guest prints, waiting for the transmitter as drivers do; false when it would wait for ever. */
function print(port: SerialPort, text: string): boolean {
  for (const byte of Buffer.from(text)) {
    if ((get(port, LSR) & TRANSMITTER_EMPTY) === 0) return false;
    set(port, DATA, byte);
  }
  return true;
}

/** A guest reads what there is. */
function take(port: SerialPort, most = Number.POSITIVE_INFINITY): string {
  let text = '';
  while (text.length < most && (get(port, LSR) & DATA_READY) !== 0) text += String.fromCharCode(get(port, DATA));
  return text;
}

test('output arrives in chunks, by events, as an iterator and as a Web stream', async () => {
  const port = serialPort();
  print(port, 'one');
  const iterator = port.console[Symbol.asyncIterator]();
  assert.is(String((await iterator.next()).value), 'one');
  print(port, 'two');
  assert.is(String((await iterator.next()).value), 'two');
  await iterator.return?.();

  const other = serialPort();
  const { readable, writable } = Duplex.toWeb(other.console);
  print(other, 'web');
  const { value } = await readable.getReader().read();
  assert.is(Buffer.from(value).toString(), 'web');
  await writable.getWriter().write(Buffer.from('a'));
  assert.is(take(other), 'a');
});

test('output that nobody reads stays bounded: the newest bytes are kept, the others counted', async () => {
  const port = serialPort({ buffer: 1024 });
  const text = Array.from({ length: 5000 }, (_, i) => String.fromCharCode(0x30 + (i % 64))).join('');
  assert.ok(print(port, text), 'the guest never waits');
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
  const port = serialPort({ buffer: 64, whenFull: 'wait' });
  const text = 'abcdefghij'.repeat(1000);
  let sent = 0;
  let waited = 0;
  let got = '';
  port.console.on('data', chunk => {
    got += chunk;
  });
  while (sent < text.length) {
    if (print(port, text.charAt(sent))) sent += 1;
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
  const port = serialPort();
  set(port, FCR, 1);
  const text = '0123456789'.repeat(4000);
  let done = false;
  const more = port.console.write(text, () => {
    done = true;
  });
  assert.not(more);
  assert.is(take(port, 10), '0123456789');
  await turn();
  assert.not(done);
  assert.is(take(port), text.slice(10));
  await turn();
  assert.ok(done);
});

test('input raises the interrupt, and a stream of it does so once', () => {
  let rises = 0;
  const port = serialPort({
    interrupt: {
      raise: () => {
        rises += 1;
      },
    },
  });
  set(port, FCR, 1);
  set(port, 1, 1);
  port.console.write('x'.repeat(100));
  assert.is(rises, 1);
  assert.is(take(port).length, 100);
  assert.is(rises, 1);
});

test('a console that was destroyed takes everything, and a waiting writer hears of it', async () => {
  const port = serialPort({ buffer: 16, whenFull: 'wait' });
  print(port, 'x'.repeat(40));
  let failed: unknown;
  port.console.on('error', () => {});
  port.console.write('y'.repeat(40), error => {
    failed = error;
  });
  port.console.destroy(new Error('gone'));
  await turn();
  assert.instance(failed, Error);
  assert.ok(print(port, 'z'.repeat(1000)));
});

test('wrong options are refused', async () => {
  const make = (options: unknown) => codeOf(() => serialPort(options as SerialPortOptions));
  assert.is(await make(null), 'ERR_INVALID_ARG_TYPE');
  assert.is(await make({ port: 1 }), 'ERR_UNKNOWN_OPTION');
  assert.is(await make({ base: 0xfffd }), 'ERR_OUT_OF_RANGE');
  assert.is(await make({ buffer: 1 }), 'ERR_OUT_OF_RANGE');
  assert.is(await make({ buffer: '1' }), 'ERR_INVALID_ARG_TYPE');
  assert.is(await make({ whenFull: 'maybe' }), 'ERR_OUT_OF_RANGE');
  assert.is(await make({ interrupt: 4 }), 'ERR_INVALID_ARG_TYPE');
});

test.run();
