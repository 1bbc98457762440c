// The main thread's half of the control block of one vCPU: requests, kicks, waiting until it is outside the guest. Main thread.
// Order on this side: REQUEST bit → immediate_exit = 1 → tgkill under KICK_LOCK (see ARCHITECTURE.md).

import { native } from '../../../native/index.ts';
import {
  KICK_CLOSED,
  KICK_FREE,
  KICK_LOCK,
  KICK_LOCKED,
  MAILBOX,
  MAILBOX_EMPTY,
  MAILBOX_IO,
  MAILBOX_MAIN,
  REQUEST,
  REQUEST_QUIESCE,
  REQUEST_STOP,
  STATE,
  STATE_ENDED,
  STATE_GUEST,
  STATE_IDLE,
  STATE_PARKED,
  THROTTLE_RAN,
  THROTTLE_RUN,
  THROTTLE_SLEEP,
  TID,
  vcpuBase,
} from '../../../shared/control-block.ts';
import { KVM_RUN } from '../../../shared/generated/kvm-abi.ts';
import type { VcpuStatsWords } from '../../../shared/vcpu-stats.ts';

/** A kick takes some 30 µs to work; a signal that arrives between two KVM_RUNs is remembered by immediate_exit. Belt and braces. */
const REKICK_MS = 5;

export class VcpuControl {
  readonly #control: Int32Array;
  readonly #base: number;
  readonly #stats: VcpuStatsWords;
  /** undefined: not created yet, or a program, which no signal can interrupt. */
  #runBytes: Uint8Array | undefined;

  constructor(control: Int32Array, index: number, stats: VcpuStatsWords) {
    this.#control = control;
    this.#base = vcpuBase(index);
    this.#stats = stats;
  }

  /** The vCPU exists on the kvm engine: kicks reach it from now on. */
  attach(runBuffer: SharedArrayBuffer): void {
    this.#runBytes = new Uint8Array(runBuffer);
  }

  /** Asks the vCPU for something, and takes it out of the guest. */
  request(bits: number): void {
    const control = this.#control;
    Atomics.or(control, this.#base + REQUEST, bits);
    // A parked vCPU sleeps on the request word itself.
    Atomics.notify(control, this.#base + REQUEST);
    if ((bits & REQUEST_STOP) !== 0) this.#takeMailboxBack();
    if (Atomics.load(control, this.#base + STATE) === STATE_GUEST) this.kick();
  }

  withdraw(bits: number): void {
    Atomics.and(this.#control, this.#base + REQUEST, ~bits);
    Atomics.notify(this.#control, this.#base + REQUEST);
  }

  /** Takes the vCPU out of KVM_RUN, if it is there. False: it has no thread to signal. */
  kick(): boolean {
    if (this.#runBytes === undefined) return false;
    Atomics.store(this.#runBytes, KVM_RUN.immediateExit, 1);
    const control = this.#control;
    const lock = this.#base + KICK_LOCK;
    for (;;) {
      const before = Atomics.compareExchange(control, lock, KICK_FREE, KICK_LOCKED);
      if (before === KICK_CLOSED) return false;
      if (before === KICK_FREE) break;
      Atomics.wait(control, lock, KICK_LOCKED);
    }
    try {
      this.#stats.countKick();
      return native().kick(Atomics.load(control, this.#base + TID));
    } finally {
      Atomics.store(control, lock, KICK_FREE);
      Atomics.notify(control, lock);
    }
  }

  /**
   * Blocks until the vCPU is not in the guest; REQUEST_QUIESCE keeps it out from then on. A thread that was terminated in the guest
   * leaves its state as it was, and its end is told to the event loop, which does not run meanwhile: there is then nobody to signal.
   */
  waitOutside(): void {
    while (Atomics.load(this.#control, this.#base + STATE) === STATE_GUEST) {
      if (!this.kick()) return;
      Atomics.wait(this.#control, this.#base + STATE, STATE_GUEST, REKICK_MS);
    }
  }

  /** Resolves when the vCPU has parked itself or is in its event loop. */
  async parked(): Promise<void> {
    for (;;) {
      const state = Atomics.load(this.#control, this.#base + STATE);
      if (state === STATE_PARKED || state === STATE_IDLE || state === STATE_ENDED) return;
      const wait = Atomics.waitAsync(this.#control, this.#base + STATE, state, PARK_POLL_MS);
      if (wait.async) await wait.value;
    }
  }

  quiesce(): void {
    this.request(REQUEST_QUIESCE);
  }

  resume(): void {
    this.withdraw(REQUEST_QUIESCE);
  }

  /**
   * The vCPU runs for `runMs` (an integer; 0: without a limit), then sleeps for `sleepPerRun` times as long as it ran, and so on. Takes
   * effect at once.
   */
  throttle(runMs: number, sleepPerRun: number): void {
    const control = this.#control;
    Atomics.store(control, this.#base + THROTTLE_SLEEP, Math.round(sleepPerRun * 1000));
    const before = Atomics.exchange(control, this.#base + THROTTLE_RUN, runMs);
    Atomics.notify(control, this.#base + REQUEST);
    // Its heartbeat is slow: it would hear of the limit late.
    if (before === 0 && runMs !== 0 && Atomics.load(control, this.#base + STATE) === STATE_GUEST) this.kick();
  }

  /** Microseconds that the vCPU has run under a throttle, wrapping around at 2^32. */
  get ranUs(): number {
    return Atomics.load(this.#control, this.#base + THROTTLE_RAN);
  }

  /** The thread has gone without closing: nobody may signal its id any more. */
  markDead(): void {
    Atomics.store(this.#control, this.#base + KICK_LOCK, KICK_CLOSED);
    Atomics.store(this.#control, this.#base + STATE, STATE_ENDED);
    Atomics.notify(this.#control, this.#base + STATE);
  }

  /** A vCPU that waits for a device server must not wait for ever: it finds its mailbox empty, and the server's answer goes nowhere. */
  #takeMailboxBack(): void {
    const mailbox = this.#base + MAILBOX;
    Atomics.compareExchange(this.#control, mailbox, MAILBOX_MAIN, MAILBOX_EMPTY);
    Atomics.compareExchange(this.#control, mailbox, MAILBOX_IO, MAILBOX_EMPTY);
    Atomics.notify(this.#control, mailbox);
  }
}

/** State changes other than to PARKED, IDLE and ENDED are not announced: this often a waiter looks by itself. */
const PARK_POLL_MS = 20;
