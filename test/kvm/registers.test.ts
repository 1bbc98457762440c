// Registers of a paused and of a running vCPU, read and set; and that they are those between two instructions.

import * as assert from 'uvu/assert';
import { at, code, jump } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { CODE, END, loadGuest, recorder, runGuest, until, words32 } from '../run-guest.ts';
import { counters, startSpinning, untilAllMoved } from '../spinning-guest.ts';

const test = kvmSuite('registers');

test('of a paused vCPU: what is set is read back, and the guest goes on with it', async () => {
  await using vm = await startSpinning({ vcpus: 1 });
  const [vcpu] = vm.vcpus;
  await vm.pause();

  await vcpu?.setRegs({ rax: 0xffff_ffff_ffff_fff0n, r15: 42n, rdi: 1n });
  const regs = await vcpu?.getRegs();

  assert.is(regs?.rax, 0xffff_ffff_ffff_fff0n);
  assert.is(regs?.r15, 42n);
  // rdi says which word the guest counts in: now the second one.
  const [before] = words32(vm, 0x2000, 2);
  await vm.resume();
  await until(() => (words32(vm, 0x2004, 1)[0] ?? 0) > 0, 'the guest counts where its new rdi says');
  assert.is(words32(vm, 0x2000, 1)[0], before);
});

test('of running vCPUs: they are asked, answer, and run on', async () => {
  await using vm = await startSpinning();

  for (let round = 0; round < 50; round++) {
    const all = await Promise.all(vm.vcpus.map(vcpu => vcpu.getRegs()));
    assert.equal(
      all.map(regs => regs.rdi),
      [0n, 1n],
    );
    assert.ok(all.every(({ rip }) => rip === BigInt(CODE) || rip === BigInt(CODE) + 8n));
  }
  await vm.vcpus[1]?.setRegs({ r12: 0x1234n });

  assert.is((await vm.vcpus[1]?.getRegs())?.r12, 0x1234n);
  await untilAllMoved(vm, counters(vm));
});

const inLoop = code(
  at('again'),
  [0xe5, 0x10], //          in eax, 0x10
  [0x89, 0xc3], //          mov ebx, eax
  jump(0xeb, 'again'), //   jmp again
);

test('after a port was read: the instruction has ended, the answer is in its register', async () => {
  let answers = 0;
  const port = recorder({ pio: { base: 0x10, length: 4 } }, () => ++answers);
  await using vm = await loadGuest(inLoop, { mode: 64, devices: [port.device] });
  await vm.start();

  for (let round = 0; round < 50; round++) {
    await vm.pause();
    const regs = await vm.vcpus[0]?.getRegs();
    // Every answer was taken over by an instruction that has ended, exactly once.
    assert.is(Number(regs?.rax), answers);
    await vm.resume();
  }
});

const reportSegments = code(
  [0x8c, 0xd8], // mov eax, ds
  [0xe7, 0x10], // out 0x10, eax
  [0xe7, END], //  out END, eax
);

test('special registers: a segment that is set before the start is the one that the guest sees', async () => {
  const port = recorder({ pio: { base: 0x10, length: 4 } });
  await using vm = await loadGuest(reportSegments, { mode: 32, devices: [port.device] });
  const [vcpu] = vm.vcpus;
  const sregs = await vcpu?.getSregs();
  assert.is(Number(sregs?.cr0) & 1, 1);

  await vcpu?.setSregs({ ds: { ...(sregs as NonNullable<typeof sregs>).ds, selector: 0x28 } });
  await vm.start();
  await vm.finished;

  assert.is((await vcpu?.getSregs())?.ds.selector, 0x28);
  assert.equal(port.written, [0x28]);
});

test('after the end registers can still be read', async () => {
  let rax: bigint | undefined;

  // mov eax, 0x11223344; hlt
  await runGuest(code([0xb8, 0x44, 0x33, 0x22, 0x11], [0xf4]), { mode: 32 }, async vm => {
    rax = (await vm.vcpus[0]?.getRegs())?.rax;
  });

  assert.is(rax, 0x1122_3344n);
});

test.run();
