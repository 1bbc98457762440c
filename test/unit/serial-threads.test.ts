// A serial port whose guest runs on another thread, at full speed in both directions: nothing is lost, doubled or out of order.

import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SerialPort } from '../../src/main/devices/serial.ts';

const test = suite('serial threads');
const LINES = 3000;

test('a guest that prints while it is read, and sends back what it is sent', async () => {
  const port = new SerialPort({ base: 0x3f8, interrupt: { id: 0, raise() {} }, buffer: 256, whenFull: 'wait' });
  let text = '';
  port.console.on('data', chunk => {
    text += chunk;
  });
  const sent = `${'abcdefghij'.repeat(300)}\n`;
  port.console.once('open', () => port.console.write(sent));
  const guest = new Worker(new URL('../serial-thread.js', import.meta.url), {
    workerData: { state: port.state, lines: LINES },
  });
  await new Promise((resolve, reject) => guest.once('exit', resolve).once('error', reject));
  port.hangUp();
  await new Promise(resolve => port.console.once('close', resolve));

  const lines = Array.from({ length: LINES }, (_, line) => `line ${line}\n`);
  assert.is(text, lines.join('') + sent);
  assert.is(port.console.dropped, 0);
});

test.run();
