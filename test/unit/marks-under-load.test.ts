// Worker threads write through the API without a pause while the main thread harvests and copies what it is told is dirty.
// A page's mark is stored after its data: at the end the copy equals the memory, or a write was lost.

import { Worker } from 'node:worker_threads';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('marks under load');

const PAGES = 203;
const PAGE = 4096;
const WRITERS = 3;
const SECONDS = 1.5;

const writer = `
  const { workerData, parentPort } = require('node:worker_threads');
  import('node-kvm').then(({ KvmMemory, u32le }) => {
    const memory = KvmMemory.attach(workerData.handle);
    const bytes = new Uint8Array(24);
    let seed = workerData.seed;
    const end = Date.now() + workerData.ms;
    let writes = 0;
    while (Date.now() < end) {
      for (let i = 0; i < 500; i++) {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        // Bits 8 and up choose the place; a write may cross into the next page.
        const addr = (seed >>> 8) % (workerData.size - bytes.length);
        if ((seed & 0xc0) === 0) { bytes.fill(seed); memory.write(addr, bytes); }
        else if ((seed & 0xc0) === 0x40) memory.memset(addr, seed & 0xff, 16);
        else if ((seed & 0xc0) === 0x80) memory.writeObj(addr & ~3, u32le, seed);
        else memory.writeObj(addr, u32le, seed);
        writes += 1;
      }
    }
    parentPort.postMessage(writes);
  });
`;

test('three writers, one harvester: nothing is lost', async () => {
  using memory = new KvmMemory(PAGES * PAGE);
  memory.enableDirtyTracking();
  const live = memory.view(0, PAGES * PAGE);
  const copy = new Uint8Array(PAGES * PAGE);
  const harvest = () => {
    const ranges = memory.getDirtyPages();
    for (const { guestAddr, size } of ranges) {
      copy.set(live.subarray(Number(guestAddr), Number(guestAddr) + Number(size)), Number(guestAddr));
    }
    return ranges.length;
  };
  const workerData = { handle: memory.handle, size: PAGES * PAGE, ms: SECONDS * 1000 };
  const workers = Array.from({ length: WRITERS }, (_, seed) => new Worker(writer, { eval: true, workerData: { ...workerData, seed } }));
  let running = WRITERS;
  let writes = 0;
  for (const worker of workers) {
    worker.on('message', count => (writes += count));
    worker.on('exit', () => (running -= 1));
  }

  let harvests = 0;
  while (running > 0) {
    harvests += Math.min(1, harvest());
    await new Promise(resolve => setImmediate(resolve));
  }
  harvest();

  assert.ok(writes > 10_000 && harvests > 10, `${writes} writes, ${harvests} harvests`);
  assert.ok(Buffer.from(live).equals(Buffer.from(copy)));
  assert.equal(memory.getDirtyPages(), []);
});

test.run();
