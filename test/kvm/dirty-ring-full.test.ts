// A guest that fills its dirty ring leaves KVM_RUN, the ring is emptied on the vCPU's thread, and the guest goes on: nothing is
// lost, also when KVM_RESET_DIRTY_RINGS fails. Below the public API, where each return of run() can be looked at.

import * as assert from 'uvu/assert';
import { type NativeVcpu, type NativeVm, native } from '../../native/index.ts';
import {
  KVM_CAP,
  KVM_EXIT,
  KVM_REGS,
  KVM_RUN,
  KVM_SEGMENT,
  KVM_SREGS,
  VCPU_STATS,
} from '../../shared/generated/kvm-abi.ts';
import { WRITER_VCPU } from '../../shared/writer.ts';
import { kvmKind } from '../../src/main/host-facts.ts';
import { hasKvm, kvmDevice, suiteUnless } from '../harness.ts';

const EINTR = 4;
const ENOMEM = 12;
const SIZE = 1 << 20;
const LAST_PAGE = 0xfe;
/** Entries: the least that KVM takes (a page of them). It leaves KVM_RUN when 64, or with PML 576, are left. */
const RING = hasKvm && native().openSystem(kvmDevice).checkExtension(KVM_CAP.DIRTY_LOG_RING) > 0 ? 256 : 0;
// Real mode: mov ax, 0x200; l: mov ds, ax; mov [0], al; add ax, 0x100; cmp ax, 0xff00; jne l; hlt: pages 2 to 0xfe, one by one.
const GUEST = [0xb8, 0, 2, 0x8e, 0xd8, 0xa2, 0, 0, 0x05, 0, 1, 0x3d, 0, 0xff, 0x75, 0xf3, 0xf4];

function missing(): string | undefined {
  if (RING === 0) return 'this KVM has no dirty rings';
  if (kvmKind() === 'pvm') return 'kvm_pvm does not leave KVM_RUN each time that a ring is full, and loses entries';
  const vm = native().openSystem(kvmDevice).createVm();
  try {
    vm.enableDirtyRing(RING);
    return undefined;
  } catch {
    return `this KVM has no rings of ${RING} entries (with PML they are larger than this guest's memory)`;
  } finally {
    vm.close();
  }
}

const test = suiteUnless(missing(), 'dirty ring full');

interface Machine {
  readonly vm: NativeVm;
  readonly vcpu: NativeVcpu;
  readonly page: DataView;
}

function machine(): Machine {
  const vm = native().openSystem(kvmDevice).createVm();
  vm.enableDirtyRing(RING);
  const { buffer, hostAddr } = native().mapMemory({ size: SIZE, kind: 'anonymous' });
  new Uint8Array(buffer).set(GUEST, 0x1000);
  vm.setMemoryRegion(0, 1, 0, SIZE, hostAddr, buffer);
  const vcpu = native().createVcpu(vm.fd, 0, new Uint8Array(new SharedArrayBuffer(VCPU_STATS.SIZE)));
  const sregs = new Uint8Array(KVM_SREGS.SIZE);
  vcpu.getState('sregs', sregs);
  sregs.fill(0, KVM_SREGS.cs + KVM_SEGMENT.base, KVM_SREGS.cs + KVM_SEGMENT.base + 8);
  sregs.fill(0, KVM_SREGS.cs + KVM_SEGMENT.selector, KVM_SREGS.cs + KVM_SEGMENT.selector + 2);
  vcpu.setState('sregs', sregs);
  return { vm, vcpu, page: new DataView(vcpu.runBuffer) };
}

/** Runs the guest from its first instruction to its halt; the returns of run() that were neither an exit nor -EINTR. */
function runToHalt({ vcpu, page }: Machine): number[] {
  const regs = new DataView(new ArrayBuffer(KVM_REGS.SIZE));
  regs.setBigUint64(KVM_REGS.rip, 0x1000n, true);
  regs.setBigUint64(KVM_REGS.rflags, 2n, true);
  vcpu.setState('regs', new Uint8Array(regs.buffer));
  const failures: number[] = [];
  for (;;) {
    const returned = vcpu.run();
    if (returned === 0) break;
    if (returned !== -EINTR) failures.push(returned);
  }
  assert.is(page.getUint32(KVM_RUN.exitReason, true), KVM_EXIT.HLT);
  return failures;
}

/** The pages of 2 to LAST_PAGE that a harvest misses, or that it says somebody else wrote. */
function missed({ vm }: Machine): number[] {
  vm.collectRings();
  const into = new Uint8Array(SIZE / 4096 / 8);
  const writers = new Uint16Array(SIZE / 4096);
  vm.orDirtyLog(0, into, 0, writers, 0);
  const pages: number[] = [];
  for (let page = 2; page <= LAST_PAGE; page++) {
    const isDirty = (((into[page >>> 3] ?? 0) >>> (page & 7)) & 1) === 1;
    if (!isDirty || writers[page] !== WRITER_VCPU) pages.push(page);
  }
  return pages;
}

test('the guest goes on after a full ring, and every page it wrote is harvested, round after round', () => {
  const it = machine();
  for (let round = 0; round < 4; round++) {
    assert.equal(runToHalt(it), []);
    assert.equal(missed(it), [], `round ${round}`);
  }
  const { entries, fullExits, overflows } = it.vm.ringCounters(0);
  assert.ok(fullExits >= 4, `${fullExits} exits of a full ring`);
  assert.ok(entries >= 4 * (LAST_PAGE - 1));
  assert.is(overflows, 0);
  it.vcpu.close();
  it.vm.close();
});

test('a ring that cannot be emptied is an error that names the call, and the next run tries again', () => {
  const it = machine();
  native().injectFault('KVM_RESET_DIRTY_RINGS', 1, ENOMEM);

  assert.equal(runToHalt(it), [-ENOMEM]);

  assert.is(it.vcpu.failedCall, 'KVM_RESET_DIRTY_RINGS');
  assert.equal(missed(it), []);
  it.vcpu.close();
  it.vm.close();
});

test.run();
