// The vCPU's half of a dirty limit: lets the vCPU run for a slice, then sleep for a while, as the main thread has asked for in the control
// block (src/main/vm/dirty-limit.ts decides how much of each). vCPU thread, both engines.
//
// The end of a slice: on the kvm engine the heartbeat, whose period becomes the slice, takes the thread out of KVM_RUN; a program of the host
// engine comes here at its exits and checkpoints only. A sleeping vCPU counts as outside the guest, and any request wakes it.

import {
  REQUEST,
  STATE,
  STATE_OUTSIDE,
  THROTTLE_RAN,
  THROTTLE_RUN,
  THROTTLE_SLEEP,
  vcpuBase,
} from '../../shared/control-block.ts';
import type { VcpuStatsWords } from '../../shared/vcpu-stats.ts';

/** How often a thread in KVM_RUN comes out of it by itself, so that worker.terminate() and process.exit() get through. */
const HEARTBEAT_MS = 200;
/** A timer and this clock may differ by so much: the slice is over all the same. */
const CLOCK_SLACK_MS = 0.2;
/** The least share is a millisecond a second. A stretch that was long because the vCPU waited for a device does not make it sleep for minutes. */
const SLEEP_MAX_MS = 1000;

export interface ThrottleOptions {
  readonly index: number;
  readonly control: Int32Array;
  readonly stats: VcpuStatsWords;
  /** Takes this thread out of KVM_RUN every so many milliseconds, from now on; 0: no more. */
  heartbeat(periodMs: number): void;
}

export class Throttle {
  readonly #options: ThrottleOptions;
  readonly #control: Int32Array;
  readonly #base: number;
  /** The slice as it was last looked at; 0: no limit. */
  #runMs = 0;
  #sliceBegan = 0;
  #counted = 0;

  constructor(options: ThrottleOptions) {
    this.#options = options;
    this.#control = options.control;
    this.#base = vcpuBase(options.index);
  }

  /** The vCPU begins to run. */
  begin(): void {
    this.#runMs = Atomics.load(this.#control, this.#base + THROTTLE_RUN);
    this.#startSlice();
  }

  /** The vCPU does not run any more. */
  end(): void {
    this.#options.heartbeat(0);
  }

  /** Between two stretches in the guest: blocks when the slice is over. Without a limit a load and a comparison. */
  pace(): void {
    const runMs = Atomics.load(this.#control, this.#base + THROTTLE_RUN);
    if (runMs === 0 && this.#runMs === 0) return;
    if (runMs !== this.#runMs) {
      this.#runMs = runMs;
      this.#startSlice();
      return;
    }
    const now = performance.now();
    this.#count(now);
    if (now - this.#sliceBegan < runMs - CLOCK_SLACK_MS) return;
    this.#sleep(now);
    this.#startSlice();
  }

  #startSlice(): void {
    this.#options.heartbeat(this.#runMs === 0 ? HEARTBEAT_MS : this.#runMs);
    this.#sliceBegan = performance.now();
    this.#counted = this.#sliceBegan;
  }

  #count(now: number): void {
    Atomics.add(this.#control, this.#base + THROTTLE_RAN, Math.round((now - this.#counted) * 1000));
    this.#counted = now;
  }

  /** For as long as the stretch that it has run, from `#sliceBegan` to `now`, calls for; a change meanwhile counts at once. */
  #sleep(now: number): void {
    const control = this.#control;
    const ranMs = now - this.#sliceBegan;
    const left = (): number => {
      if (Atomics.load(control, this.#base + REQUEST) !== 0) return 0;
      const sleepMs = (ranMs * Atomics.load(control, this.#base + THROTTLE_SLEEP)) / 1000;
      return now + Math.min(sleepMs, SLEEP_MAX_MS) - performance.now();
    };
    if (left() <= 0) return;
    this.#options.heartbeat(0);
    Atomics.store(control, this.#base + STATE, STATE_OUTSIDE);
    for (let ms = left(); ms > 0; ms = left()) Atomics.wait(control, this.#base + REQUEST, 0, ms);
    this.#options.stats.forgetLastReturn();
  }
}
