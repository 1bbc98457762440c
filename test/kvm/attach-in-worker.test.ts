// A worker that attached to a machine's memory reads what the guest writes, also in a region that was added later.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { loadGuest } from '../run-guest.ts';

const test = kvmSuite('memory attached in a worker');

const LATER = 0x100_0000;

const guest = code(
  [0xc7, 0x05, 0x00, 0x20, 0x00, 0x00, 0x11, 0x11, 0x00, 0x00], // mov dword ptr [0x2000], 0x1111
  [0xa1, 0x04, 0x00, 0x00, 0x01], //                               mov eax, [LATER + 4]
  [0xff, 0xc0], //                                                 inc eax
  [0xa3, 0x00, 0x00, 0x00, 0x01], //                               mov [LATER], eax
  [0xf4], //                                                       hlt
);

/** Attaches; writes to the later region when told 'write'; answers with two words when told 'read'. */
const attached = `
  const { workerData, parentPort } = require('node:worker_threads');
  import('node-kvm').then(({ KvmMemory, u32le }) => {
    const memory = KvmMemory.attach(workerData.handle);
    parentPort.on('message', order => {
      if (order === 'write') memory.writeObj(workerData.later + 4, u32le, 0x2221);
      const seen = order === 'read' ? [memory.readObj(0x2000, u32le), memory.readObj(workerData.later, u32le)] : [];
      parentPort.postMessage(seen);
    });
    parentPort.postMessage('attached');
  });
`;

test('guest and worker read what the other one wrote', async () => {
  await using vm = await loadGuest(guest, { mode: 32 });
  const worker = new Worker(attached, { eval: true, workerData: { handle: vm.memory.handle, later: LATER } });
  await once(worker, 'message');
  vm.memory.addRegion(LATER, 0x1000);
  worker.postMessage('write');
  await once(worker, 'message');

  await vm.start();
  const result = await vm.finished;
  worker.postMessage('read');
  const [seen] = await once(worker, 'message');

  assert.is(result.reason, 'halt');
  assert.equal(seen, [0x1111, 0x2222]);
  await worker.terminate();
});

test.run();
