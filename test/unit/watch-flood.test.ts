// A thread writes to a watched range without end, faster than a slow callback listens: the owner's event loop goes on, or no timer, no message
// and no deadline of a VM would be heard of any more.

import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('watch: a flood of writes');

/** Far more than any turn of the event loop may take, and fewer than wait in the queue and would come in time. */
const CALLBACKS_MAX = 1000;

const writer = `
  const { workerData } = require('node:worker_threads');
  import('node-kvm').then(({ KvmMemory, u32le }) => {
    const memory = KvmMemory.attach(workerData);
    for (;;) memory.writeObj(0, u32le, 1);
  });
`;

test('timers are served between callbacks', async () => {
  using memory = new KvmMemory(1 << 20);
  let called = 0;
  let calledAtTimer: number | undefined;
  let onTimer = () => {};
  const served = new Promise<void>(resolve => {
    onTimer = resolve;
  });
  const watch = memory.watch({ guestAddr: 0, size: 4 }, () => {
    called += 1;
    // In the middle of the flood.
    if (called === 100) {
      setTimeout(() => {
        calledAtTimer = called;
        onTimer();
      }, 1);
    }
    // So that a loop that keeps the event loop ends, and this test with it.
    if (called === CALLBACKS_MAX) watch.close();
    for (const end = performance.now() + 1; performance.now() < end; );
  });

  const worker = new Worker(writer, { eval: true, workerData: memory.handle });
  await served;
  await worker.terminate();
  await sleep(0);

  assert.ok((calledAtTimer ?? CALLBACKS_MAX) < CALLBACKS_MAX, `${calledAtTimer} callbacks before a timer of 1 ms`);
});

test.run();
