// Worker threads write through the API while the main thread harvests and copies what it is told is dirty. A page's mark is stored
// after its data, so in each epoch, in which every page is written once, the copy ends equal to the memory, or a write was lost.

import { Worker } from 'node:worker_threads';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('marks under load');

const PAGE = 4096;
const WRITERS = 3;
/** Bytes of each writer's own part. */
const PART = 2 << 20;
const EPOCHS = 60;
/** Words that steer the writers. */
const EPOCH = 0;
const READY = 1;
const DONE = 2;

/**
 * In each epoch fills its part once, in an order and by a method that depends on the epoch: large writes, fills, and objects across
 * the border of two pages.
 */
const writer = `
  const { workerData } = require('node:worker_threads');
  const { handle, words, at, size } = workerData;
  import('node-kvm').then(({ KvmMemory, u64le }) => {
    const memory = KvmMemory.attach(handle);
    const chunk = new Uint8Array(size / 2);
    const methods = [
      epoch => { for (let done = 0; done < size; done += chunk.length) memory.write(at + done, chunk.fill(epoch)); },
      epoch => { for (let done = 0; done < size; done += chunk.length) memory.memset(at + done, epoch, chunk.length); },
      epoch => { for (let done = 4092; done < size - 8; done += 8192) memory.writeObj(at + done, u64le, BigInt(epoch) << 32n | 1n); },
    ];
    Atomics.add(words, ${READY}, 1);
    for (let epoch = 1; epoch <= ${EPOCHS}; epoch++) {
      // In a loop: the notify for the epoch before may come only now.
      while (Atomics.load(words, ${EPOCH}) < epoch) Atomics.wait(words, ${EPOCH}, epoch - 1);
      methods[epoch % methods.length](epoch);
      Atomics.add(words, ${DONE}, 1);
    }
  });
`;

/** Copies what is dirty, the last page first: against the writers, who go upwards. */
function replay(memory: KvmMemory, live: Uint8Array, copy: Uint8Array): void {
  for (const { guestAddr, size } of memory.getDirtyPages().reverse()) {
    for (let at = guestAddr + size - PAGE; at >= guestAddr; at -= PAGE) copy.set(live.subarray(at, at + PAGE), at);
  }
}

test('three writers, one harvester: no write is lost in any epoch', async () => {
  using memory = new KvmMemory(WRITERS * PART);
  memory.enableDirtyTracking();
  const live = memory.view(0, WRITERS * PART);
  const copy = new Uint8Array(WRITERS * PART);
  const words = new Int32Array(new SharedArrayBuffer(16));
  const workers = Array.from(
    { length: WRITERS },
    (_, index) =>
      new Worker(writer, { eval: true, workerData: { handle: memory.handle, words, at: index * PART, size: PART } }),
  );
  while (Atomics.load(words, READY) < WRITERS) await new Promise(resolve => setTimeout(resolve, 1));

  const lost: number[] = [];
  for (let epoch = 1; epoch <= EPOCHS; epoch++) {
    Atomics.store(words, EPOCH, epoch);
    Atomics.notify(words, EPOCH);
    while (Atomics.load(words, DONE) < epoch * WRITERS) replay(memory, live, copy);
    replay(memory, live, copy);
    if (!Buffer.from(live.buffer).equals(copy)) lost.push(epoch);
  }

  await Promise.all(workers.map(worker => new Promise(resolve => worker.on('exit', resolve))));
  assert.equal(lost, []);
  assert.is(live[PAGE], EPOCHS);
  assert.equal(memory.getDirtyPages(), []);
});

test.run();
