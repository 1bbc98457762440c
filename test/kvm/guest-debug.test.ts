// Debugging a guest: single steps and a hardware breakpoint leave the guest, onDebug is told where, and the guest goes on.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { hasKvm, kvmSuite, suiteUnless } from '../harness.ts';
import { CODE, loadGuest } from '../run-guest.ts';

const test = kvmSuite('guest debug');

/** QEMU's TCG takes DR7 from the VMCB at VMRUN without setting the breakpoints that it names (its target/i386 svm_helper.c). */
const emulated = process.env['TEST_EMULATOR'] === 'qemu-tcg';
const breakpoints =
  hasKvm && emulated
    ? suiteUnless('the emulated processor has no hardware breakpoints in a guest', 'guest breakpoints')
    : kvmSuite('guest breakpoints');

const guest = code(
  [0x90], //       +0 nop
  [0x90], //       +1 nop
  [0xff, 0xc0], // +2 inc eax
  [0x90], //       +4 nop
  [0xf4], //       +5 hlt
);

test('single step: every instruction is seen, until it is turned off', async () => {
  const seen: number[] = [];
  await using vm = await loadGuest(guest, {
    mode: 32,
    async onDebug({ pc }) {
      seen.push(Number(pc) - CODE);
      if (seen.length === 3) await vm.vcpus[0]?.setGuestDebug({});
    },
  });
  await vm.vcpus[0]?.setGuestDebug({ singleStep: true });

  await vm.start();
  const result = await vm.finished;

  assert.is(result.reason, 'halt');
  assert.equal(seen, [1, 2, 4]);
});

breakpoints('hardware breakpoint: the guest stops before the instruction', async () => {
  const seen: number[] = [];
  await using vm = await loadGuest(guest, {
    mode: 32,
    async onDebug({ pc }) {
      seen.push(Number(pc) - CODE);
      await vm.vcpus[0]?.setGuestDebug({});
    },
  });
  // dr7: bit 0 = breakpoint 0 is on, for execution, one byte.
  await vm.vcpus[0]?.setGuestDebug({ hardware: { addresses: [BigInt(CODE) + 2n], dr7: 0x1n } });

  await vm.start();
  const result = await vm.finished;

  assert.is(result.reason, 'halt');
  assert.equal(seen, [2]);
});

test.run();
breakpoints.run();
