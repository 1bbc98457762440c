// A guest that stores where it is told to, when it is told to: its one vCPU waits for an order in a mailbox, obeys, and acknowledges.
// Main thread. Uses the public API only. Its code, mailbox, tables and stack lie in the lowest MiB, which its users leave to it.

import { flat, u32le, u64le, type VirtualMachine } from 'node-kvm';
import { at, code, jump, le32 } from './guest-code.ts';
import { slowness } from './slowness.ts';

const CODE = 0x8000;
/** Order (u32), done (u32), address (u64), value (u64). */
const MAILBOX = 0x9000;
const DONE = MAILBOX + 4;
const ADDRESS = MAILBOX + 8;
const VALUE = MAILBOX + 16;
const LIMIT_MS = 10_000;

/** Bytes of base memory that it needs for itself. What its users add lies above, after a hole: loaders put tables at the end of the lowest RAM. */
export const POKED_RAM = 0x10_0000;

const bytes = code(
  [0xbf, ...le32(MAILBOX)], //   mov edi, MAILBOX
  at('again'),
  [0x8b, 0x07], //               mov eax, [rdi]        order
  [0x3b, 0x47, 0x04], //         cmp eax, [rdi + 4]    done
  jump(0x74, 'rest'), //         jz rest
  [0x48, 0x8b, 0x5f, 0x08], //   mov rbx, [rdi + 8]    address
  [0x48, 0x8b, 0x4f, 0x10], //   mov rcx, [rdi + 16]   value
  [0x48, 0x89, 0x0b], //         mov [rbx], rcx
  [0x89, 0x47, 0x04], //         mov [rdi + 4], eax
  jump(0xeb, 'again'), //        jmp again
  at('rest'),
  [0xf3, 0x90], //               pause
  jump(0xeb, 'again'), //        jmp again
);

export class PokedGuest {
  readonly #vm: VirtualMachine;
  readonly #idle = new Int32Array(new SharedArrayBuffer(4));
  #orders = 0;

  private constructor(vm: VirtualMachine) {
    this.#vm = vm;
  }

  /** Loads and starts it. */
  static async start(vm: VirtualMachine): Promise<PokedGuest> {
    await vm.load(flat(bytes, { at: CODE, mode: 64, cpl: 3 }));
    await vm.start();
    return new PokedGuest(vm);
  }

  /** The vCPU stores the 8 bytes of `value` at `addr`; blocks until it has. It must run. */
  write(addr: number, value: bigint): void {
    const { memory } = this.#vm;
    this.#orders += 1;
    memory.writeObj(ADDRESS, u64le, BigInt(addr));
    memory.writeObj(VALUE, u64le, value);
    memory.atomics.store(MAILBOX, u32le, this.#orders);
    const limit = performance.now() + LIMIT_MS * slowness;
    while (memory.atomics.load(DONE, u32le) !== this.#orders) {
      if (performance.now() > limit) throw new Error(`the guest has not stored at 0x${addr.toString(16)}`);
      Atomics.wait(this.#idle, 0, 0, 0.05);
    }
  }
}
