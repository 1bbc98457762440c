// The claim that the project stands on: vCPUs and JavaScript threads do atomic adds on one word, and none is lost.

import { Worker } from 'node:worker_threads';
import * as assert from 'uvu/assert';
import { at, code, jump, le32 } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { END, loadGuest, words32 } from '../run-guest.ts';

const test = kvmSuite('shared counter');

/** The shared word; the next word counts the vCPUs that are done. */
const COUNTER = 0x2000;
const GUEST_ADDS = 200_000;
const WORKER_ADDS = 300_000;

/** Each vCPU adds 3 to the counter GUEST_ADDS times; the last one to finish ends the machine. */
const guest = code(
  [0xb9, ...le32(GUEST_ADDS)], //                            mov ecx, GUEST_ADDS
  at('again'),
  [0xb8, 0x03, 0x00, 0x00, 0x00], //                         mov eax, 3
  [0xf0, 0x0f, 0xc1, 0x04, 0x25, 0x00, 0x20, 0x00, 0x00], // lock xadd [COUNTER], eax
  [0xff, 0xc9], //                                           dec ecx
  jump(0x75, 'again'), //                                    jnz again
  [0xb8, 0x01, 0x00, 0x00, 0x00], //                         mov eax, 1
  [0xf0, 0x0f, 0xc1, 0x04, 0x25, 0x04, 0x20, 0x00, 0x00], // lock xadd [COUNTER + 4], eax
  [0x83, 0xf8, 0x01], //                                     cmp eax, 1       is this the second one?
  at('wait'),
  jump(0x75, 'wait'), //                                     jne wait
  [0xe7, END], //                                            out END, eax
);

/** A user's worker: adds 5 to the same word, WORKER_ADDS times. */
const adder = `
  const { workerData } = require('node:worker_threads');
  const words = new Int32Array(workerData.buffer, workerData.offset, 1);
  for (let i = 0; i < workerData.adds; i++) Atomics.add(words, 0, 5);
`;

test('two vCPUs with lock xadd and a worker with Atomics.add: the sum is exact', async () => {
  await using vm = await loadGuest(guest, { mode: 64, cpl: 3, vcpus: 2 });
  const view = vm.memory.view(COUNTER, 4);
  const worker = new Worker(adder, {
    eval: true,
    workerData: { buffer: view.buffer, offset: view.byteOffset, adds: WORKER_ADDS },
  });
  const ended = new Promise(resolve => worker.on('exit', resolve));

  await vm.start();
  await Promise.all([vm.finished, ended]);

  assert.equal(words32(vm, COUNTER, 2), [2 * GUEST_ADDS * 3 + WORKER_ADDS * 5, 2]);
});

test.run();
