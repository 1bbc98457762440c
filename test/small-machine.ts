// A VM with one vCPU on the calling thread, in real mode, and 64 KiB of RAM: for tests of what its descriptor can do. Its exits are for the caller.

import { native } from '../native/index.ts';
import { KVM_EXIT, KVM_REGS, KVM_RUN, KVM_SEGMENT, KVM_SREGS, VCPU_STATS } from '../shared/generated/kvm-abi.ts';

const SIZE = 0x1_0000;
const CODE = 0x1000;
const EINTR = 4;

export class SmallMachine {
  readonly #system = native().openSystem(process.env['NODE_KVM_DEVICE'] ?? '/dev/kvm');
  readonly vm = this.#system.createVm();
  readonly #vcpu;
  readonly #run: DataView;

  /**
   * `code` is at 0x1000, the stack ends at 0x8000. `irqchip`: with interrupt controllers in the kernel; 'split': LAPICs alone, whose registers are at fs:0, and GSIs
   * 0 to 23 for an IOAPIC elsewhere.
   */
  constructor(code: Uint8Array, { irqchip = false }: { irqchip?: boolean | 'split' } = {}) {
    const { buffer, hostAddr } = native().mapMemory({ size: SIZE, kind: 'anonymous' });
    new Uint8Array(buffer).set(code, CODE);
    this.vm.setMemoryRegion(0, 0, 0, SIZE, hostAddr, buffer);
    if (irqchip === 'split') this.vm.splitIrqchip(24);
    else if (irqchip) this.vm.createIrqchip();
    this.#vcpu = native().createVcpu(this.vm.fd, 0, new Uint8Array(new SharedArrayBuffer(VCPU_STATS.SIZE)));
    this.#run = new DataView(this.#vcpu.runBuffer);
    const sregs = new Uint8Array(KVM_SREGS.SIZE);
    this.#vcpu.getState('sregs', sregs);
    sregs.fill(0, KVM_SREGS.cs + KVM_SEGMENT.base, KVM_SREGS.cs + KVM_SEGMENT.base + 8);
    sregs.fill(0, KVM_SREGS.cs + KVM_SEGMENT.selector, KVM_SREGS.cs + KVM_SEGMENT.selector + 2);
    if (irqchip === 'split')
      new DataView(sregs.buffer).setBigUint64(KVM_SREGS.fs + KVM_SEGMENT.base, 0xfee0_0000n, true);
    this.#vcpu.setState('sregs', sregs);
    const regs = new DataView(new ArrayBuffer(KVM_REGS.SIZE));
    regs.setBigUint64(KVM_REGS.rip, BigInt(CODE), true);
    regs.setBigUint64(KVM_REGS.rsp, 0x8000n, true);
    regs.setBigUint64(KVM_REGS.rflags, 2n, true);
    this.#vcpu.setState('regs', new Uint8Array(regs.buffer));
  }

  /** Runs to the next exit: 'hlt', 'mmio', 'eoi' and the vector, or 'out' and the port. */
  next(): string {
    let result = this.#vcpu.run();
    while (result === -EINTR) result = this.#vcpu.run();
    if (result < 0) throw new Error(`KVM_RUN: ${result}`);
    const reason = this.#run.getUint32(KVM_RUN.exitReason, true);
    if (reason === KVM_EXIT.HLT) return 'hlt';
    if (reason === KVM_EXIT.MMIO) return 'mmio';
    if (reason === KVM_EXIT.IOAPIC_EOI) return `eoi 0x${this.#run.getUint8(KVM_RUN.eoi.vector).toString(16)}`;
    if (reason !== KVM_EXIT.IO) throw new Error(`exit ${reason}`);
    return `out 0x${this.#run.getUint16(KVM_RUN.io.port, true).toString(16)}`;
  }

  /** Runs to the next hlt; the exits before it, by what next() calls them. */
  exits(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (let exit = this.next(); exit !== 'hlt'; exit = this.next()) counts[exit] = (counts[exit] ?? 0) + 1;
    return counts;
  }

  close(): void {
    this.#vcpu.close();
    this.vm.close();
    this.#system.close();
  }
}
