// Where an actor waits for its orders: sleeps on CALL, pins its thread, and says when an order is done. Actor threads, and, for a guest, its vCPU's thread.

import { native } from '../../../native/index.ts';
import { ActorWords, controlWords } from '../../../shared/lab/actor-words.ts';
import { LAB_BLOCK, LAB_CONTROL, LAB_OVER } from '../../../shared/lab/control.ts';

export class OrderGate {
  readonly #control: Int32Array;
  readonly #words: Int32Array;
  readonly #anyCpu: readonly number[];
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
      // Before the looks at what it announces: whoever calls after them has changed it.
      const call = Atomics.load(this.#words, LAB_BLOCK.CALL);
      if (Atomics.load(this.#control, LAB_CONTROL.EPOCH) === LAB_OVER) return false;
      if (Atomics.load(this.#words, LAB_BLOCK.KERNEL) !== 0) {
        this.#pin(Atomics.load(this.#words, LAB_BLOCK.CPU));
        return true;
      }
      Atomics.wait(this.#words, LAB_BLOCK.CALL, call);
    }
  }

  /** The results are in the block. */
  done(): void {
    Atomics.store(this.#words, LAB_BLOCK.KERNEL, 0);
    const done = Atomics.add(this.#control, LAB_CONTROL.DONE, 1) + 1;
    // Not before the last one: who wakes up meanwhile takes processor time from those that still work.
    if (done === Atomics.load(this.#control, LAB_CONTROL.PARTICIPANTS)) Atomics.notify(this.#control, LAB_CONTROL.DONE);
  }

  #pin(cpu: number): void {
    if (cpu === this.#pinned) return;
    native().setAffinity(cpu === 0 ? this.#anyCpu : [cpu - 1]);
    this.#pinned = cpu;
  }
}
