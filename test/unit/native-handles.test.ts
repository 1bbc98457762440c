// Handles of the addon: forged receivers, closed handles, slots that keep their memory, errors that change nothing. Needs KVM.

import * as assert from 'uvu/assert';
import { type NativeSystem, type NativeVcpu, type NativeVm, native } from '../../native/index.ts';
import {
  KVM_CAP,
  KVM_EXIT,
  KVM_REGS,
  KVM_RUN,
  KVM_SEGMENT,
  KVM_SREGS,
  VCPU_STATS,
} from '../../shared/generated/kvm-abi.ts';
import { codeOf } from '../errors.ts';
import { kvmDevice, kvmSuite } from '../harness.ts';

const test = kvmSuite('native handles');
const EINTR = 4;
const SIZE = 16 * 4096;
// Real mode: out 0x10, al; mov [0x2000], al; hlt
const GUEST = [0xe6, 0x10, 0xa2, 0x00, 0x20, 0xf4];

interface Machine {
  readonly system: NativeSystem;
  readonly vm: NativeVm;
  readonly buffer: SharedArrayBuffer;
  readonly hostAddr: bigint;
}

function machine(): Machine {
  const system = native().openSystem(kvmDevice);
  const vm = system.createVm();
  const { buffer, hostAddr } = native().mapMemory({ size: SIZE, kind: 'anonymous' });
  new Uint8Array(buffer).set(GUEST, 0x1000);
  vm.setMemoryRegion(0, 1, 0, SIZE, hostAddr, buffer);
  return { system, vm, buffer, hostAddr };
}

const newStats = () => new Uint8Array(new SharedArrayBuffer(VCPU_STATS.SIZE));

/** A vCPU of this thread at GUEST's first instruction. */
function vcpuOf(vm: NativeVm, stats = newStats()): NativeVcpu {
  const vcpu = native().createVcpu(vm.fd, 0, stats);
  const sregs = new Uint8Array(KVM_SREGS.SIZE);
  vcpu.getState('sregs', sregs);
  sregs.fill(0, KVM_SREGS.cs + KVM_SEGMENT.base, KVM_SREGS.cs + KVM_SEGMENT.base + 8);
  sregs.fill(0, KVM_SREGS.cs + KVM_SEGMENT.selector, KVM_SREGS.cs + KVM_SEGMENT.selector + 2);
  vcpu.setState('sregs', sregs);
  const regs = new DataView(new ArrayBuffer(KVM_REGS.SIZE));
  regs.setBigUint64(KVM_REGS.rip, 0x1000n, true);
  regs.setBigUint64(KVM_REGS.rflags, 2n, true);
  vcpu.setState('regs', new Uint8Array(regs.buffer));
  return vcpu;
}

test('a method on anything but its own handle is a TypeError', async () => {
  const { system, vm } = machine();
  for (const forged of [undefined, null, 1, {}, system, Object.create(vm) as object]) {
    assert.is(await codeOf(() => vm.close.call(forged)), 'ERR_INVALID_ARG_TYPE');
  }
  assert.ok(vm.fd > 0);
  vm.close();
});

test('closing is idempotent, and a closed handle says so', async () => {
  const { system, vm, buffer, hostAddr } = machine();
  const vcpu = vcpuOf(vm);
  const { run } = vcpu;
  for (const handle of [vcpu, vcpu, vm, vm, system, system]) handle.close();

  assert.is(await codeOf(run), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vcpu.fd), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vcpu.nmi()), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vcpu.runToPort(0, new Uint8Array(new SharedArrayBuffer(8)), null)), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vm.fd), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vm.setMemoryRegion(0, 0, 0, SIZE, hostAddr, buffer)), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vm.orDirtyLog(0, new Uint8Array(8), 0, null, 0)), 'ERR_DISPOSED');
  assert.is(await codeOf(() => system.createVm()), 'ERR_DISPOSED');
});

test("a closed vCPU's run page stays a page", () => {
  const { vm } = machine();
  const vcpu = vcpuOf(vm);
  const page = new DataView(vcpu.runBuffer);
  assert.is(vcpu.run(), 0);
  vcpu.close();

  page.setUint8(KVM_RUN.immediateExit, 1);

  assert.is(page.getUint32(KVM_RUN.exitReason, true), 0);
  vm.close();
});

test('run returns exits and counts them; immediate_exit is -EINTR and cleared', () => {
  const { vm } = machine();
  const stats = newStats();
  const vcpu = vcpuOf(vm, stats);
  const page = new DataView(vcpu.runBuffer);
  const words = new BigUint64Array(stats.buffer);

  assert.is(vcpu.run(), 0);
  assert.is(page.getUint32(KVM_RUN.exitReason, true), KVM_EXIT.IO);
  page.setUint8(KVM_RUN.immediateExit, 1);
  assert.is(vcpu.run(), -EINTR);
  assert.is(page.getUint8(KVM_RUN.immediateExit), 0);
  assert.is(vcpu.run(), 0);
  assert.is(page.getUint32(KVM_RUN.exitReason, true), KVM_EXIT.HLT);

  assert.is(words[VCPU_STATS.exits], 2n);
  assert.is(words[VCPU_STATS.interrupted], 1n);
  assert.is(words[VCPU_STATS.exitsByReason + KVM_EXIT.HLT], 1n);
  vcpu.close();
  vm.close();
});

test('a slot must lie in the memory of its owner', async () => {
  const { vm, buffer, hostAddr } = machine();
  const set = (hva: bigint, size: number) => codeOf(() => vm.setMemoryRegion(1, 0, 0x10_0000, size, hva, buffer));

  assert.is(await set(hostAddr, SIZE + 4096), 'ERR_OUT_OF_RANGE');
  assert.is(await set(hostAddr - 4096n, 4096), 'ERR_OUT_OF_RANGE');
  assert.is(await set(hostAddr + BigInt(SIZE), 4096), 'ERR_OUT_OF_RANGE');
  assert.is(await set(hostAddr + BigInt(SIZE - 4096), 4096), 'no error');
  vm.close();
});

test("the kernel's refusal names the slot and changes nothing", async () => {
  const { vm, buffer, hostAddr } = machine();
  assert.is(await codeOf(() => vm.setMemoryRegion(1, 0, 0x1000, 4096, hostAddr, buffer)), 'ERR_SYSCALL');
  assert.is(await codeOf(() => vm.orDirtyLog(1, new Uint8Array(8), 0, null, 0)), 'ERR_SLOT_UNKNOWN');
  vm.close();
});

test('the dirty log is ORed into the bitmap, and a bitmap that is too small costs nothing', async () => {
  const { vm } = machine();
  const vcpu = vcpuOf(vm);
  vcpu.run();
  vcpu.run();
  const bitmap = new Uint8Array(8);
  bitmap[7] = 1;

  assert.is(await codeOf(() => vm.orDirtyLog(0, new Uint8Array(1), 0, null, 0)), 'ERR_BUFFER_TOO_SMALL');
  assert.is(await codeOf(() => vm.orDirtyLog(0, bitmap, 49, null, 0)), 'ERR_BUFFER_TOO_SMALL');
  assert.is(await codeOf(() => vm.orDirtyLog(0, bitmap, 48, new Uint16Array(63), 0)), 'ERR_BUFFER_TOO_SMALL');
  const writers = new Uint16Array(64);
  assert.is(vm.orDirtyLog(0, bitmap, 48, writers, 0x4000), 1);

  assert.equal([...bitmap], [0, 0, 0, 0, 0, 0, 4, 1]);
  assert.is(writers[50], 0x4000);
  assert.is(vm.orDirtyLog(0, bitmap, 0, null, 0), 0);
  vcpu.close();
  vm.close();
});

test('states need a buffer of exactly their size and a known name', async () => {
  const { vm } = machine();
  const vcpu = vcpuOf(vm);
  assert.is(await codeOf(() => vcpu.getState('regs', new Uint8Array(KVM_REGS.SIZE - 1))), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => vcpu.setState('regs', new Uint8Array(KVM_REGS.SIZE + 1))), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => vcpu.getState('toString' as 'regs', new Uint8Array(8))), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => vcpu.getMsrs(Uint32Array.of(0x1_2345))), 'ERR_SYSCALL');
  vcpu.close();
  vm.close();
});

test('an injected fault fails its call once, and the call can be repeated', async () => {
  const { vm } = machine();
  const regs = new Uint8Array(KVM_REGS.SIZE);
  const vcpu = vcpuOf(vm);
  native().injectFault('KVM_GET_REGS', 2, 12);

  assert.is(await codeOf(() => vcpu.getState('regs', regs)), 'no error');
  assert.is(await codeOf(() => vcpu.getState('regs', regs)), 'ERR_SYSCALL');
  assert.is(await codeOf(() => vcpu.getState('regs', regs)), 'no error');
  vcpu.close();
  vm.close();
});

test('an attached VM is the same VM, and closing one leaves the other', () => {
  const { vm } = machine();
  const attached = native().attachVm(vm.fd);

  assert.is(attached.checkExtension(KVM_CAP.USER_MEMORY), vm.checkExtension(KVM_CAP.USER_MEMORY));
  vm.close();
  assert.ok(attached.checkExtension(KVM_CAP.USER_MEMORY) > 0);
  attached.close();
});

test.run();
