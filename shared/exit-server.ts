// Serves exits that vCPUs hand over: the same class on the main thread (closures as devices) and on the I/O worker
// (modules with where: 'io'). Pure: Atomics only.
//
// vCPU: MAILBOX_DEVICE = device, MAILBOX = MAIN | IO, doorbell += 1, notify; sleeps on MAILBOX while it holds that value.
// Server: wakes on the doorbell, decodes the exit in that vCPU's kvm_run page, calls the device, MAILBOX = DONE | FAILED, notify.
// The answer is a compare-exchange: a vCPU that was told to stop meanwhile has taken its mailbox back.

import { MAILBOX, MAILBOX_DEVICE, MAILBOX_DONE, MAILBOX_FAILED, vcpuBase } from './control-block.ts';
import type { IoDispatch } from './io-dispatch.ts';

export interface ExitServerOptions {
  readonly control: Int32Array;
  readonly vcpus: number;
  /** MAIN_DOORBELL or IO_DOORBELL. */
  readonly doorbell: number;
  /** MAILBOX_MAIN or MAILBOX_IO. */
  readonly mailbox: number;
  /** By vCPU; asked for at each exit, because vCPUs are created after the server. */
  dispatch(vcpu: number): IoDispatch;
  /** A handler threw. Called before the vCPU is answered. */
  onError(vcpu: number, error: unknown): void;
}

/** Exits served in a row, without waiting, before the event loop gets a turn. */
const ROUNDS_PER_TURN = 256;

export class ExitServer {
  readonly #options: ExitServerOptions;
  #stopped = false;

  constructor(options: ExitServerOptions) {
    this.#options = options;
    void this.#serve();
  }

  /** Ends the waiting at once; exits that are handed over afterwards are not answered. */
  stop(): void {
    this.#stopped = true;
    const { control, doorbell } = this.#options;
    Atomics.add(control, doorbell, 1);
    Atomics.notify(control, doorbell);
  }

  async #serve(): Promise<void> {
    const { control, doorbell } = this.#options;
    let rounds = 0;
    while (!this.#stopped) {
      const seen = Atomics.load(control, doorbell);
      this.#serveAll();
      // A ring between the load and here makes waitAsync return at once.
      const wait = Atomics.waitAsync(control, doorbell, seen);
      if (wait.async) await wait.value;
      // Busy vCPUs must not starve this thread's timers and messages.
      else if (++rounds % ROUNDS_PER_TURN === 0) await new Promise(resolve => setTimeout(resolve, 0));
    }
  }

  #serveAll(): void {
    const { control, vcpus, mailbox } = this.#options;
    for (let vcpu = 0; vcpu < vcpus; vcpu++) {
      const base = vcpuBase(vcpu);
      if (Atomics.load(control, base + MAILBOX) !== mailbox) continue;
      const answer = this.#serveOne(vcpu, Atomics.load(control, base + MAILBOX_DEVICE));
      Atomics.compareExchange(control, base + MAILBOX, mailbox, answer);
      Atomics.notify(control, base + MAILBOX);
    }
  }

  #serveOne(vcpu: number, device: number): number {
    const { dispatch, onError } = this.#options;
    try {
      dispatch(vcpu).perform(device);
      return MAILBOX_DONE;
    } catch (error) {
      onError(vcpu, error);
      return MAILBOX_FAILED;
    }
  }
}
