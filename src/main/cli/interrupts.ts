// Ctrl-C and SIGTERM during a command's work: the first one stops it in order, a second one ends the process. Main thread.

import { constants } from 'node:os';

export type EndingSignal = 'SIGINT' | 'SIGTERM';

/** The exit status that shells give to a process that a signal ended. */
export function signalStatus(signal: EndingSignal): number {
  return 128 + constants.signals[signal];
}

/** What can be stopped: a VM, a run of the lab. */
export interface Stoppable {
  stop(): Promise<unknown>;
}

export class Interrupts {
  readonly #work: Stoppable;
  readonly #listener = (signal: EndingSignal) => this.#receive(signal);
  #signal: EndingSignal | undefined;

  constructor(work: Stoppable) {
    this.#work = work;
    process.on('SIGINT', this.#listener);
    process.on('SIGTERM', this.#listener);
  }

  /** The signal that stopped the work. */
  get signal(): EndingSignal | undefined {
    return this.#signal;
  }

  release(): void {
    process.off('SIGINT', this.#listener);
    process.off('SIGTERM', this.#listener);
  }

  #receive(signal: EndingSignal): void {
    if (this.#signal !== undefined) process.exit(signalStatus(signal));
    this.#signal = signal;
    // How stopping went is in what the command waits for anyway.
    this.#work.stop().catch(() => {});
  }
}
