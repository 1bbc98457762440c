// Aligned scalars are single accesses in unoptimised code too: another thread never sees half a value.

import { Worker } from 'node:worker_threads';
import { KvmMemory, u32be, u32le, u64be, u64le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('layout: tearing');

const FLIPS_MS = 400;
/** Flips both words between all zeros and all ones, through the API. */
const flipper = `
  const { workerData, parentPort } = require('node:worker_threads');
  import('node-kvm').then(({ KvmMemory, u64le, u32le }) => {
    const memory = KvmMemory.attach(workerData.handle);
    parentPort.postMessage('on');
    const end = Date.now() + workerData.ms;
    while (Date.now() < end) {
      for (let i = 0; i < 100; i++) {
        memory.writeObj(64, u64le, i % 2 === 0 ? 0n : 0xffffffffffffffffn);
        memory.writeObj(128, u32le, i % 2 === 0 ? 0 : 0xffffffff);
      }
    }
  });
`;

test('a reader sees all of a write or nothing of it', async () => {
  using memory = new KvmMemory(4096);
  const worker = new Worker(flipper, { eval: true, workerData: { handle: memory.handle, ms: FLIPS_MS } });
  await new Promise(resolve => worker.once('message', resolve));
  const wide = new Set<bigint>();
  const narrow = new Set<number>();
  const end = Date.now() + FLIPS_MS;
  while (Date.now() < end) {
    for (let i = 0; i < 100; i++) {
      wide.add(memory.readObj(64, u64le)).add(memory.readObj(64, u64be));
      narrow.add(memory.readObj(128, u32le)).add(memory.readObj(128, u32be));
    }
  }
  await worker.terminate();

  assert.equal(
    [...wide].filter(each => each !== 0n && each !== 0xffff_ffff_ffff_ffffn),
    [],
  );
  assert.equal(
    [...narrow].filter(each => each !== 0 && each !== 0xffff_ffff),
    [],
  );
  assert.is(wide.size, 2);
});

test.run();
