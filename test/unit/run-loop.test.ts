// The exits that no KVM here can be made to raise: the run loop over a page that the test writes.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createControlBlock } from '../../shared/control-block.ts';
import { HypervisorError } from '../../shared/errors.ts';
import { KVM_EXIT, KVM_RUN, KVM_SYSTEM_EVENT } from '../../shared/generated/kvm-abi.ts';
import type { GuestMemory } from '../../shared/guest-memory.ts';
import type { RunOutcome } from '../../shared/protocol.ts';
import { createStatsBuffer, VcpuStatsWords } from '../../shared/vcpu-stats.ts';
import type { ExitHandler } from '../../src/workers/exit-handler.ts';
import { RunLoop } from '../../src/workers/run-loop.ts';
import { Throttle } from '../../src/workers/throttle.ts';

const test = suite('run loop');

/** Enters a loop whose first KVM_RUN returns `returned`, after `write` has filled in kvm_run. */
function enter(returned: number, write: (run: DataView) => void): RunOutcome {
  const runBuffer = new SharedArrayBuffer(4096);
  const control = createControlBlock(1);
  const stats = new VcpuStatsWords(createStatsBuffer(1), 0);
  const loop = new RunLoop({
    index: 0,
    control,
    failedCall: () => 'KVM_RUN',
    kvmRun: () => {
      write(new DataView(runBuffer));
      return returned;
    },
    runBuffer,
    // No port and no MMIO exit comes, and nobody quiesces.
    handler: undefined as unknown as ExitHandler,
    memory: undefined as unknown as GuestMemory,
    throttle: new Throttle({ index: 0, control, stats, heartbeat: () => {} }),
    stats,
    trace: undefined,
    dump: () => ({ text: 'rip=0x1000', info: { rip: 0x1000n } }),
  });
  return loop.enter();
}

function failure(returned: number, write: (run: DataView) => void): HypervisorError {
  try {
    enter(returned, write);
  } catch (error) {
    if (error instanceof HypervisorError) return error;
  }
  throw new Error('the loop did not throw a HypervisorError');
}

const exit = (reason: number) => (run: DataView) => run.setUint32(KVM_RUN.exitReason, reason, true);

test('fail-entry carries the hardware reason, the CPU and the registers', () => {
  const error = failure(0, run => {
    exit(KVM_EXIT.FAIL_ENTRY)(run);
    run.setBigUint64(KVM_RUN.failEntry.hardwareEntryFailureReason, 0x8000_0021n, true);
    run.setUint32(KVM_RUN.failEntry.cpu, 3, true);
  });

  assert.is(error.code, 'ERR_VCPU_FAIL_ENTRY');
  assert.match(error.message, /0x80000021 on CPU 3.*\nrip=0x1000/);
  assert.equal(error.info, { vcpu: 0, hardwareReason: 0x8000_0021n, cpu: 3, rip: 0x1000n });
});

for (const [name, reason] of [
  ['SHUTDOWN', 'power-off'],
  ['RESET', 'reset'],
  ['CRASH', 'shutdown'],
] as const) {
  test(`system event ${name} ends the VM with '${reason}'`, () => {
    const outcome = enter(0, run => {
      exit(KVM_EXIT.SYSTEM_EVENT)(run);
      run.setUint32(KVM_RUN.systemEvent.type, KVM_SYSTEM_EVENT[name], true);
    });

    assert.is(outcome.reason, reason);
  });
}

test('a system event that no x86 guest raises, and a reason that nobody knows, are unknown exits', () => {
  const event = failure(0, run => {
    exit(KVM_EXIT.SYSTEM_EVENT)(run);
    run.setUint32(KVM_RUN.systemEvent.type, 99, true);
  });
  const reason = failure(0, exit(4711));

  assert.is(event.code, 'ERR_VCPU_UNKNOWN_EXIT');
  assert.is(reason.code, 'ERR_VCPU_UNKNOWN_EXIT');
  assert.match(reason.message, /exit reason 4711/);
});

test('KVM_RUN that fails is reported with its errno, and the stale page is not decoded', () => {
  const error = failure(-14, exit(KVM_EXIT.HLT));

  assert.is(error.code, 'ERR_SYSCALL');
  assert.is(error.errno, 14);
  assert.is(error.syscall, 'KVM_RUN');
});

test.run();
