// Signals that end a program, Ctrl-C's among them, during a command's work: the first one stops it in order, a second one ends the
// process. Main thread. None may end it at once: a terminal in raw mode would stay so.

import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
export type EndingSignal = (typeof SIGNALS)[number];

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
    for (const signal of SIGNALS) process.on(signal, this.#listener);
  }

  /** The signal that stopped the work. */
  get signal(): EndingSignal | undefined {
    return this.#signal;
  }

  release(): void {
    for (const signal of SIGNALS) process.off(signal, this.#listener);
  }

  #receive(signal: EndingSignal): void {
    if (this.#signal !== undefined) process.exit(signalStatus(signal));
    this.#signal = signal;
    // How stopping went is in what the command waits for anyway.
    this.#work.stop().catch(() => {});
  }
}
