// The smallest guest: a VM with one vCPU on the calling thread that stores a byte into page after page and halts. For the probe of
// dirty sources, which wants to see a guest's writes. Any thread that may block for some microseconds; nothing is left open by close().

import { type NativeSystem, type NativeVcpu, type NativeVm, native } from '../../../native/index.ts';
import { KVM_CAP, KVM_EXIT, KVM_RUN, KVM_SREGS, VCPU_STATS } from '../../../shared/generated/kvm-abi.ts';
import { PAGE_SIZE } from '../../../shared/units.ts';
import { encodeRegs, encodeSregs } from '../../../shared/vcpu-codec.ts';
import { flatSegment } from '../images/boot-tables.ts';

/** Its code lies in a slot of its own, far above the memory that is probed. */
const CODE_SLOT = 1;
const CODE_ADDR = 0xffff_f000;
/** Pages that VMX without "unrestricted guest" needs for a guest without paging; just below the code. */
const IDENTITY_MAP_ADDR = 0xfffb_c000;
const TSS_ADDR = 0xfffb_d000;
const CODE = [
  [0x88, 0x07], // next: mov [edi], al
  [0x01, 0xd7], //       add edi, edx
  [0xe2, 0xfa], //       loop next
  [0xf4], //             hlt
].flat();
const CR0_PROTECTED = 0x11n; // PE and ET
const RFLAGS_RESERVED = 0x2n;
const EINTR = 4;
/** A signal may end KVM_RUN, and so does a full dirty ring; far fewer than this many times. */
const RUNS_MAX = 10_000;

export class ProbeGuest {
  readonly vm: NativeVm;
  readonly #system: NativeSystem;
  readonly #code = native().mapMemory({ size: PAGE_SIZE, kind: 'anonymous', name: 'node-kvm:probe' });
  #vcpu: NativeVcpu | undefined;
  #closed = false;

  /** `ringEntries`: with a dirty ring of so many entries. @throws `ERR_SYSCALL`; nothing stays open then */
  constructor(device: string, ringEntries?: number) {
    this.#system = native().openSystem(device);
    try {
      this.vm = this.#system.createVm();
    } catch (error) {
      this.#system.close();
      throw error;
    }
    try {
      if (ringEntries !== undefined) this.vm.enableDirtyRing(ringEntries);
      if (this.vm.checkExtension(KVM_CAP.SET_TSS_ADDR) > 0) this.vm.setTssAddr(TSS_ADDR);
      if (this.vm.checkExtension(KVM_CAP.SET_IDENTITY_MAP_ADDR) > 0) this.vm.setIdentityMapAddr(IDENTITY_MAP_ADDR);
      new Uint8Array(this.#code.buffer).set(CODE);
      this.vm.setMemoryRegion(CODE_SLOT, 0, CODE_ADDR, PAGE_SIZE, this.#code.hostAddr, this.#code.buffer);
      this.#vcpu = native().createVcpu(this.vm.fd, 0, new Uint8Array(new SharedArrayBuffer(VCPU_STATS.SIZE)));
      this.#startProtected(this.#vcpu);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Flat 32-bit protected mode: all of the first 4 GiB without page tables. */
  #startProtected(vcpu: NativeVcpu): void {
    const sregs = new Uint8Array(KVM_SREGS.SIZE);
    vcpu.getState('sregs', sregs);
    const data = flatSegment(0x10, 'data', 32, 0);
    const segments = { cs: flatSegment(0x8, 'code', 32, 0), ds: data, es: data, fs: data, gs: data, ss: data };
    vcpu.setState('sregs', encodeSregs({ ...segments, cr0: CR0_PROTECTED }, sregs));
  }

  /** Stores `value` at guest addresses `at`, `at` + `stride`, …: `count` stores, at least one. @throws Error when the guest did not get to its end */
  write(stores: {
    readonly at: number;
    readonly stride: number;
    readonly count: number;
    readonly value: number;
  }): void {
    const vcpu = this.#vcpu;
    if (vcpu === undefined) throw new Error('the guest was closed');
    vcpu.setState(
      'regs',
      encodeRegs({
        rip: BigInt(CODE_ADDR),
        rflags: RFLAGS_RESERVED,
        rax: BigInt(stores.value),
        rcx: BigInt(stores.count),
        rdx: BigInt(stores.stride),
        rdi: BigInt(stores.at),
      }),
    );
    const run = new DataView(vcpu.runBuffer);
    for (let runs = 0; runs < RUNS_MAX; runs++) {
      const result = vcpu.run();
      if (result === -EINTR) continue;
      if (result < 0) throw new Error(`KVM_RUN failed with errno ${-result}`);
      const reason = run.getUint32(KVM_RUN.exitReason, true);
      if (reason === KVM_EXIT.HLT) return;
      throw new Error(`the guest left with KVM exit ${reason} instead of a halt`);
    }
    throw new Error(`the guest did not end within ${RUNS_MAX} entries`);
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#vcpu?.close();
    this.#vcpu = undefined;
    this.vm.close();
    this.#system.close();
    native().countGarbage(this.#code.buffer);
  }
}
