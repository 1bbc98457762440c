// Loading, with each of its ioctls failing in turn: the call is reported, the machine has finished with that error, and nothing of it
// is left; the next machine on the same pool works.

import { flat, VcpuPool, VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { failEachIoctl } from '../failing-ioctls.ts';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { fdCount } from '../process-state.ts';

const test = kvmSuite('failing load()');

const image = flat(code([0xf4]), { at: 0x8000, mode: 64 }); // hlt

test('every failing ioctl is reported, and no descriptor is left', async () => {
  const pool = new VcpuPool({ threads: 2 });
  await pool.ready();
  const fds = fdCount();

  const failed = await failEachIoctl({
    prepare: () => VirtualMachine.create({ memory: 4 << 20, vcpus: 2, engine: 'kvm', pool }),
    run: vm => vm.load(image),
    async undo(vm) {
      await vm.start();
      assert.is((await vm.finished).reason, 'halt');
      await vm[Symbol.asyncDispose]();
    },
    async afterFailure(error, vm) {
      assert.is(error.code, 'ERR_SYSCALL');
      const result = await vm.finished;
      assert.is(result.reason, 'error');
      assert.is(result.error?.errno, error.errno);
      await vm[Symbol.asyncDispose]();
      assert.is(fdCount(), fds);
    },
  });

  const count = (name: string) => failed.filter(call => call === name).length;
  assert.is(count('KVM_CREATE_VCPU'), 2);
  assert.is(count('KVM_SET_CPUID2'), 2);
  assert.is(count('KVM_SET_SREGS'), 2);
  assert.is(count('KVM_SET_REGS'), 2);
  assert.is(fdCount(), fds);
  await pool[Symbol.asyncDispose]();
});

test.run();
