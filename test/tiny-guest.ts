// A VM with one vCPU on the calling thread, without the VirtualMachine class: it stores a byte wherever it is told to, in real
// mode. For tests of memory and dirty tracking that need a guest's writes. Its code and its orders come in a page of its own.

import { native } from '../native/index.ts';
import { KVM_EXIT, KVM_RUN, VCPU_STATS } from '../shared/generated/kvm-abi.ts';

/** The last page below 4 GiB: x86 starts at its byte 0xff0, with a code segment whose base is 0xffff0000. */
const CODE_PAGE = 0xffff_f000;
const CODE_SLOT = 200;
const EINTR = 4;
/** Where the orders lie in the page: an address (32 bits) and a byte. */
const ORDER_AT = 0x800;
const RESET = [0xe9, 0x0d, 0xf0]; // jmp near to offset 0xf000 of the segment, which is this page's first byte
const CODE = [
  0x2e,
  0x66,
  0x8b,
  0x1e,
  0x00,
  0xf8, // mov ebx, cs:[0xf800]
  0x2e,
  0xa0,
  0x04,
  0xf8, //             mov al, cs:[0xf804]
  0x67,
  0x88,
  0x03, //                   mov [ebx], al
  0xf4, //                               hlt
  0xeb,
  0xf0, //                         jmp to the start
];

export class TinyGuest {
  readonly #system = native().openSystem(process.env['NODE_KVM_DEVICE'] ?? '/dev/kvm');
  readonly #vm = this.#system.createVm();
  readonly #code = native().mapMemory({ size: 4096, kind: 'anonymous' });
  readonly #orders = new DataView(this.#code.buffer, ORDER_AT, 8);
  readonly #vcpu;
  readonly #run: DataView;

  constructor() {
    const bytes = new Uint8Array(this.#code.buffer);
    bytes.set(CODE, 0);
    bytes.set(RESET, 0xff0);
    this.#vm.setMemoryRegion(CODE_SLOT, 0, CODE_PAGE, 4096, this.#code.hostAddr, this.#code.buffer);
    this.#vcpu = native().createVcpu(this.#vm.fd, 0, new Uint8Array(new SharedArrayBuffer(VCPU_STATS.SIZE)));
    this.#run = new DataView(this.#vcpu.runBuffer);
  }

  /** For `memory.attachVmFd`. */
  get vmFd(): number {
    return this.#vm.fd;
  }

  /** Stores `value` at guest address `addr` (below 64 KiB, the limit of real mode's segments): in RAM, or as an MMIO exit. */
  write(addr: number, value: number): 'ram' | 'mmio' {
    this.#orders.setUint32(0, addr, true);
    this.#orders.setUint8(4, value);
    let how: 'ram' | 'mmio' = 'ram';
    for (;;) {
      const result = this.#vcpu.run();
      // Any signal to the thread ends KVM_RUN: a profiler's, for example.
      if (result === -EINTR) continue;
      if (result < 0) throw new Error(`KVM_RUN: ${result}`);
      const reason = this.#run.getUint32(KVM_RUN.exitReason, true);
      if (reason === KVM_EXIT.HLT) return how;
      if (reason !== KVM_EXIT.MMIO) throw new Error(`exit ${reason}`);
      how = 'mmio';
    }
  }

  close(): void {
    this.#vcpu.close();
    this.#vm.close();
    this.#system.close();
  }
}
