// A device lives where it is put: a closure on the main thread, a module on each vCPU's own thread or once on the I/O worker.

import { threadId } from 'node:worker_threads';
import { deviceModule } from 'node-kvm';
import * as assert from 'uvu/assert';
import { at, code, jump } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { runGuest, words32 } from '../run-guest.ts';

const test = kvmSuite('device placement');

const ROUNDS = 50;
const LAST_READ = 0x2000;

/** ROUNDS times on each vCPU: writes the vCPU's index + 1, then reads. */
const guest = code(
  [0xb9, ROUNDS, 0x00, 0x00, 0x00], //         mov ecx, ROUNDS
  at('again'),
  [0x8d, 0x47, 0x01], //                       lea eax, [edi + 1]
  [0xe7, 0x10], //                             out 0x10, eax
  [0xe5, 0x14], //                             in eax, 0x14
  jump(0xe2, 'again'), //                      loop again
  [0x89, 0x04, 0xbd, 0x00, 0x20, 0x00, 0x00], // mov [LAST_READ + edi*4], eax
  [0xf4], //                                   hlt
);

const range = { name: 'counter', pio: { base: 0x10, length: 8 } };
const module = new URL('./devices/counter.js', import.meta.url);

/** Runs the guest on two vCPUs; the shared words afterwards, and the last value that each vCPU read. */
async function run(where: 'vcpu' | 'io'): Promise<{ words: Int32Array; read: number[] }> {
  const state = new SharedArrayBuffer(64);
  let read: number[] = [];
  await runGuest(guest, { mode: 32, vcpus: 2, devices: [deviceModule(module, { ...range, where, state })] }, vm => {
    read = words32(vm, LAST_READ, 2);
  });
  return { words: new Int32Array(state), read };
}

test("where 'vcpu': one instance on each vCPU's thread, together through the shared words", async () => {
  const { words, read } = await run('vcpu');

  assert.equal(Array.from(words.subarray(0, 4)), [2, 2 * ROUNDS, 2 * ROUNDS, ROUNDS * (1 + 2)]);
  assert.is(new Set([threadId, words[5], words[6]]).size, 3);
  assert.is(words[15], 2, 'each is closed with its vCPU');
  assert.is(Math.max(...read), 2 * ROUNDS);
});

test("where 'io': a single instance on a thread that is neither the main one nor a vCPU's", async () => {
  const { words, read } = await run('io');

  assert.equal(Array.from(words.subarray(0, 4)), [1, 2 * ROUNDS, 2 * ROUNDS, ROUNDS * (1 + 2)]);
  assert.ok(words[4] !== 0 && words[4] !== threadId);
  assert.equal(Array.from(words.subarray(5, 7)), [0, 0]);
  assert.is(Math.max(...read), 2 * ROUNDS);
});

test('a closure runs on the main thread and sees its variables', async () => {
  const threads = new Set<number>();
  let sum = 0;
  const device = {
    ...range,
    read: () => 7,
    write(_offset: number, _size: number, value: number | bigint) {
      threads.add(threadId);
      sum += Number(value);
    },
  };
  let read: number[] = [];

  await runGuest(guest, { mode: 32, vcpus: 2, devices: [device] }, vm => {
    read = words32(vm, LAST_READ, 2);
  });

  assert.equal([...threads], [threadId]);
  assert.is(sum, ROUNDS * (1 + 2));
  assert.equal(read, [7, 7]);
});

test.run();
