// A thread is terminated in the middle of its writes. V8 ends it where a function is entered or a loop turns: never between a store and
// its marks, or pages would stay changed that no harvest ever reports.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('marks of a terminated thread');

const PAGE = 4096;
const SIZE = 4 << 20;
const ROUNDS = 4;

/** Writes for ever, other bytes each time. */
const writer = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { handle, method, size } = workerData;
  import('node-kvm').then(({ KvmMemory, u32le }) => {
    const memory = KvmMemory.attach(handle);
    const chunk = new Uint8Array(size / 4);
    const methods = {
      write: (at, count) => memory.write(at, chunk.fill(count)),
      memset: (at, count) => memory.memset(at, count, chunk.length),
      'atomics.add': at => { for (let page = at; page < at + chunk.length; page += 4096) memory.atomics.add(page, u32le, 1); },
    };
    parentPort.postMessage('ready');
    for (let count = 1; ; count++)
      for (let at = 0; at < size; at += chunk.length) methods[method](at, count & 0xff);
  });
`;

function replay(memory: KvmMemory, live: Uint8Array, copy: Uint8Array): void {
  for (const { guestAddr, size } of memory.getDirtyPages())
    copy.set(live.subarray(guestAddr, guestAddr + size), guestAddr);
}

for (const method of ['write', 'memset', 'atomics.add']) {
  test(`${method}: what a terminated thread stored is marked`, async () => {
    using memory = new KvmMemory(SIZE);
    memory.enableDirtyTracking({ source: 'host' });
    const live = memory.view(0, SIZE);
    const copy = new Uint8Array(SIZE);
    for (let round = 0; round < ROUNDS; round++) {
      const worker = new Worker(writer, { eval: true, workerData: { handle: memory.handle, method, size: SIZE } });
      await once(worker, 'message');
      await sleep(round);
      const ended = worker.terminate();
      replay(memory, live, copy);
      await ended;
      replay(memory, live, copy);
      for (let at = 0; at < SIZE; at += PAGE) {
        const isSame = Buffer.compare(copy.subarray(at, at + PAGE), live.subarray(at, at + PAGE)) === 0;
        assert.ok(isSame, `round ${round}: page ${at / PAGE} was changed and not reported`);
      }
    }
  });
}

test.run();
