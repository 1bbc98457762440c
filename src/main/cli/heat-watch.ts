// Harvests a running machine's dirty pages at a rhythm, through a cursor of its own: other consumers miss nothing. Main thread.

import type { DirtyCursor } from '../memory/dirty-cursor.ts';
import type { VirtualMachine } from '../vm/virtual-machine.ts';
import { HeatRecord } from './heat-record.ts';

/** Pairs of address and size in bytes, ascending, valid during the call, and the time that they are of. */
export type IntervalListener = (ranges: Float64Array, elapsedMs: number) => void;

export class HeatWatch {
  readonly record: HeatRecord;
  readonly #vm: VirtualMachine;
  readonly #cursor: DirtyCursor;
  readonly #onInterval: IntervalListener;
  readonly #everyMs: number;
  #begin = 0;
  #lastMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #error: unknown;

  /** Of a loaded machine that tracks: what loading wrote is not shown. */
  constructor(vm: VirtualMachine, everyMs: number, onInterval: IntervalListener) {
    this.#vm = vm;
    this.#everyMs = everyMs;
    this.#onInterval = onInterval;
    this.record = new HeatRecord(vm.memory.regions(), everyMs);
    this.#cursor = vm.memory.dirtyCursor('heat');
  }

  /** Right before the machine starts. */
  begin(): void {
    this.#begin = performance.now();
    this.#timer = setInterval(() => this.#tick(), this.#everyMs);
  }

  /** What a harvest failed with; it ended the run. */
  get error(): unknown {
    return this.#error;
  }

  /** When the machine has ended: takes what is left. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#error === undefined) this.#tick();
    this.#cursor[Symbol.dispose]();
  }

  /** A harvest that fails ends the run: there is nothing left to watch it for. */
  #tick(): void {
    try {
      using harvest = this.#cursor.harvest();
      const now = performance.now() - this.#begin;
      const ranges = harvest.rangeArray();
      this.record.add(ranges, this.#lastMs, now);
      this.#onInterval(ranges, now - this.#lastMs);
      this.#lastMs = now;
      harvest.commit();
    } catch (error) {
      this.#error = error;
      clearInterval(this.#timer);
      // How stopping went is in `finished`, which the command waits for anyway.
      this.#vm.stop().catch(() => {});
    }
  }
}
