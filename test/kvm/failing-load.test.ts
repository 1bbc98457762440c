// Loading, with each of its ioctls failing in turn: the call is reported, the machine has finished with that error, and nothing of it
// is left; the next machine on the same pool works.

import { flat, VcpuPool, VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { failEachIoctl } from '../failing-ioctls.ts';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { fdCount } from '../process-state.ts';
import { until } from '../run-guest.ts';

const test = kvmSuite('failing load()');

const image = flat(code([0xf4]), { at: 0x8000, mode: 64 }); // hlt

/** The calls that failed, one after the other, in loading machines of `vcpus` vCPUs. */
async function failLoads(vcpus: number, ioctl: string): Promise<string[]> {
  const pool = new VcpuPool({ threads: vcpus });
  await pool.ready();
  const fds = fdCount();

  const failed = await failEachIoctl({
    ioctl,
    prepare: () => VirtualMachine.create({ memory: 4 << 20, vcpus, engine: 'kvm', pool }),
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
      await until(() => fdCount() === fds, 'the descriptors to be closed');
    },
  });

  await until(() => fdCount() === fds, 'the descriptors to be closed');
  await pool[Symbol.asyncDispose]();
  return failed;
}

const calls = ['KVM_CREATE_VCPU', 'KVM_SET_CPUID2', 'KVM_SET_SREGS', 'KVM_SET_REGS'];

test('one vCPU: every failing ioctl is reported, and no descriptor is left', async () => {
  const failed = await failLoads(1, '*');

  assert.equal(
    calls.filter(name => !failed.includes(name)),
    [],
  );
});

for (const name of calls) {
  test(`two vCPUs: ${name} fails on either`, async () => {
    assert.equal(await failLoads(2, name), [name, name]);
  });
}

test.run();
