// Where an actor waits for its orders: sleeps on EPOCH, pins its thread, and says when an order is done. Actor threads, and, for a guest, its vCPU's thread.

import { native } from '../../../native/index.ts';
import { ActorWords, controlWords } from '../../../shared/lab/actor-words.ts';
import { LAB_BLOCK, LAB_CONTROL, LAB_OVER } from '../../../shared/lab/control.ts';

export class OrderGate {
  readonly #control: Int32Array;
  readonly #words: Int32Array;
  readonly #anyCpu: readonly number[];
  #seen = 0;
  /** As LAB_BLOCK.CPU has it. */
  #pinned = 0;

  constructor(arena: SharedArrayBuffer, actor: number) {
    this.#control = controlWords(arena);
    this.#words = new ActorWords(arena, actor).words;
    this.#anyCpu = native().getAffinity();
  }

  /** Blocks until there is an order for this actor, and pins the thread as it says. False: it is over. */
  next(): boolean {
    for (;;) {
      const epoch = Atomics.load(this.#control, LAB_CONTROL.EPOCH);
      if (epoch === LAB_OVER) return false;
      if (epoch === this.#seen) {
        Atomics.wait(this.#control, LAB_CONTROL.EPOCH, epoch);
        continue;
      }
      this.#seen = epoch;
      if (Atomics.load(this.#words, LAB_BLOCK.KERNEL) === 0) continue;
      this.#pin(Atomics.load(this.#words, LAB_BLOCK.CPU));
      return true;
    }
  }

  /** The results are in the block. */
  done(): void {
    Atomics.store(this.#words, LAB_BLOCK.KERNEL, 0);
    Atomics.add(this.#control, LAB_CONTROL.DONE, 1);
    Atomics.notify(this.#control, LAB_CONTROL.DONE);
  }

  #pin(cpu: number): void {
    if (cpu === this.#pinned) return;
    native().setAffinity(cpu === 0 ? this.#anyCpu : [cpu - 1]);
    this.#pinned = cpu;
  }
}
