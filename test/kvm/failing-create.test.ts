// Creating a machine, with each of its ioctls failing in turn: a coded error, nothing left over, and the next try works.

import { VcpuPool, VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { failEachIoctl } from '../failing-ioctls.ts';
import { kvmSuite } from '../harness.ts';
import { fdCount, threadCount } from '../process-state.ts';
import { until } from '../run-guest.ts';

const test = kvmSuite('failing create()');

test('every failing ioctl is reported, and no descriptor is left', async () => {
  const pool = new VcpuPool({ threads: 2 });
  const create = () => VirtualMachine.create({ memory: 4 << 20, vcpus: 2, engine: 'kvm', pool, dirtyTracking: true });
  await (await create())[Symbol.asyncDispose]();
  const fds = fdCount();
  const threads = threadCount();

  const failed = await failEachIoctl({
    prepare: () => {},
    run: create,
    undo: (_, vm) => vm[Symbol.asyncDispose](),
    async afterFailure(error) {
      assert.is(error.code, 'ERR_SYSCALL');
      await until(() => fdCount() === fds, 'the descriptors to be closed');
      assert.is(threadCount(), threads);
    },
  });

  assert.ok(failed.includes('KVM_CREATE_VM'));
  assert.ok(failed.includes('KVM_SET_USER_MEMORY_REGION'));
  await until(() => fdCount() === fds, 'the descriptors to be closed');
  await pool[Symbol.asyncDispose]();
});

test.run();
