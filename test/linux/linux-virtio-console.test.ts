// virtio-console under Linux's own driver: bytes in both directions, the same at the other end, and the terminal's size.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { virtioConsole } from 'node-kvm';
import * as assert from 'uvu/assert';
import { GuestShell } from '../guest-shell.ts';
import { linuxSuite } from '../linux-guest.ts';

const test = linuxSuite('linux virtio console');
const INPUT_BYTES = 20_000;
/** The driver hands over sixteen bytes at a time. */
const OUTPUT_BYTES = 10_000;

const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

test('hvc0: a conversation, the size of the terminal, and bytes that stay the same', async () => {
  const { device, console: terminal } = virtioConsole({ columns: 132, rows: 43 });
  await using guest = await GuestShell.boot({ virtio: [device], job: 'load virtio_mmio' });
  // Open throughout: a terminal that nobody has open forgets its settings, and what arrives.
  await guest.run('exec 3<>/dev/hvc0; stty -F /dev/hvc0 raw -echo');

  assert.is(await guest.run('stty -F /dev/hvc0 size'), '43 132\n');
  terminal.resize({ columns: 80, rows: 24 });
  await guest.until('stty -F /dev/hvc0 size', /^24 80$/m);

  terminal.write('hello\n');
  assert.is(await guest.run('read -r word <&3; echo "$word"'), 'hello\n');

  const input = randomBytes(INPUT_BYTES);
  terminal.write(input);
  assert.match(await guest.run(`head -c ${INPUT_BYTES} <&3 | md5sum`), md5(input));

  const output: Buffer[] = [];
  terminal.on('data', (chunk: Buffer) => output.push(chunk));
  const printed = await guest.run(`head -c ${OUTPUT_BYTES} /dev/urandom > /out; md5sum < /out; cat /out >&3`);
  while (output.reduce((sum, { length }) => sum + length, 0) < OUTPUT_BYTES) await once(terminal, 'data');
  assert.match(printed, md5(Buffer.concat(output)));
  assert.is(terminal.dropped, 0);

  const ended = once(terminal, 'close');
  assert.is((await guest.end()).reason, 'power-off');
  await ended;
});

test.run();
