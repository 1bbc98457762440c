// A vCPU's thread takes over changed tables while it runs: what was posted to it does not pile up behind its event loop. Its memory
// here counts the messages that it takes.

import { receiveMessageOnPort, threadId } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { createControlBlock, REQUEST, REQUEST_STOP, vcpuBase } from '../../shared/control-block.ts';
import { DeviceTable, describeTable } from '../../shared/device-table.ts';
import { KVM_EXIT, KVM_RUN } from '../../shared/generated/kvm-abi.ts';
import { GuestMemory, type MemoryPlatform } from '../../shared/guest-memory.ts';
import { createStatsBuffer, VcpuStatsWords } from '../../shared/vcpu-stats.ts';
import { KvmMemory } from '../../src/main/memory/kvm-memory.ts';
import { ExitHandler } from '../../src/workers/exit-handler.ts';

const test = suite('following the memory');

test('after an exit that another thread handled', () => {
  using owner = new KvmMemory(0x1_0000);
  let taken = 0;
  const receive: MemoryPlatform['receive'] = channel => {
    // SAFETY: as in attach-memory.ts.
    const got = (receiveMessageOnPort as unknown as MemoryPlatform['receive'])(channel);
    if (got !== undefined) taken++;
    return got;
  };
  const { fill, copy } = native();
  using memory = GuestMemory.attach(owner.handle, { fill, copy, receive, threadId });
  const run = new DataView(new SharedArrayBuffer(8192));
  run.setUint32(KVM_RUN.exitReason, KVM_EXIT.IO, true);
  const control = createControlBlock(1);
  // A stop has been asked for: the exit is not waited for.
  Atomics.store(control, vcpuBase(0) + REQUEST, REQUEST_STOP);
  const handler = new ExitHandler({
    index: 0,
    control,
    run,
    table: new DeviceTable(describeTable([{ name: 'elsewhere', where: 'main', pio: { base: 0, length: 1 } }])),
    handlers: [undefined],
    stats: new VcpuStatsWords(createStatsBuffer(1), 0),
    memory,
  });
  for (let i = 0; i < 10; i++) owner.setReadOnly(0, 0x1000, i % 2 === 0);

  assert.equal(handler.handle(), { reason: 'stopped' });

  assert.is(taken, 10);
});

test.run();
