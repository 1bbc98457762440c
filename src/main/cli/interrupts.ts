// Ctrl-C and SIGTERM during `node-kvm run`: the first one stops the VM in order, a second one ends the process. Main thread.

import { constants } from 'node:os';
import type { VirtualMachine } from '../vm/virtual-machine.ts';

export type EndingSignal = 'SIGINT' | 'SIGTERM';

/** The exit status that shells give to a process that a signal ended. */
export function signalStatus(signal: EndingSignal): number {
  return 128 + constants.signals[signal];
}

export class Interrupts {
  readonly #vm: VirtualMachine;
  readonly #listener = (signal: EndingSignal) => this.#receive(signal);
  #signal: EndingSignal | undefined;

  constructor(vm: VirtualMachine) {
    this.#vm = vm;
    process.on('SIGINT', this.#listener);
    process.on('SIGTERM', this.#listener);
  }

  /** The signal that stopped the VM. */
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
    // How stopping went is in `finished`, which the command waits for anyway.
    this.#vm.stop().catch(() => {});
  }
}
