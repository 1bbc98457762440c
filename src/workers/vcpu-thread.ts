// What both engines' vCPUs do with the thread that they live on: identity for kicks, affinity, the end of it. vCPU thread.

import { native } from '../../native/index.ts';
import {
  KICK_CLOSED,
  KICK_FREE,
  KICK_LOCK,
  KICK_LOCKED,
  STATE,
  STATE_ENDED,
  STATE_IDLE,
  TID,
  vcpuBase,
} from '../../shared/control-block.ts';

export class VcpuThread {
  readonly #control: Int32Array;
  readonly #base: number;
  #affinityBefore: number[] | undefined;

  constructor(control: Int32Array, index: number) {
    this.#control = control;
    this.#base = vcpuBase(index);
  }

  /** From now on the main thread may signal this thread. */
  open(): void {
    Atomics.store(this.#control, this.#base + TID, native().threadId());
    Atomics.store(this.#control, this.#base + STATE, STATE_IDLE);
  }

  /** Pins this thread; the pool gets it back as it was. */
  setAffinity(cpus: readonly number[]): void {
    this.#affinityBefore ??= native().getAffinity();
    native().setAffinity(cpus);
  }

  /** After this nobody signals the thread on behalf of this vCPU. Waits for a kick that is under way. */
  close(): void {
    const lock = this.#base + KICK_LOCK;
    for (;;) {
      const before = Atomics.compareExchange(this.#control, lock, KICK_FREE, KICK_CLOSED);
      if (before !== KICK_LOCKED) break;
      Atomics.wait(this.#control, lock, KICK_LOCKED);
    }
    Atomics.store(this.#control, this.#base + STATE, STATE_ENDED);
    Atomics.notify(this.#control, this.#base + STATE);
    try {
      if (this.#affinityBefore !== undefined) native().setAffinity(this.#affinityBefore);
    } catch {
      // A processor has gone offline meanwhile. That must not keep the vCPU from being closed.
    }
    this.#affinityBefore = undefined;
  }
}
