// When a machine came how far: marks on the way from create() to the guest's first process. Main thread.

/** Milliseconds since create() was called; absent: not yet, or not on this engine. */
export interface BootMarks {
  /** create() had made the machine. */
  readonly create?: number;
  /** load() had written the image and made the vCPUs. */
  readonly load?: number;
  /** vCPU 0 entered the guest for the first time (KVM alone). */
  readonly firstInstruction?: number;
  /** The guest's first byte on the console: the kernel's first message, its version. A compressed kernel has decompressed itself before. */
  readonly kernelStart?: number;
  /** The kernel opened its console for the first process, which it does just before it starts that. Needs `console=ttyS0`. */
  readonly init?: number;
}

export type BootMark = 'create' | 'load' | 'kernelStart' | 'init';

export class BootClock {
  /** CLOCK_MONOTONIC, as in the statistics, in ns. */
  readonly #begin = Number(process.hrtime.bigint());
  readonly #marks: { [Mark in BootMark]?: number } = {};

  /** Now. The first time counts. */
  mark(mark: BootMark): void {
    this.#marks[mark] ??= this.#since(Number(process.hrtime.bigint()));
  }

  /** `firstEntryNs`: vCPU 0's, 0 for none. */
  marks(firstEntryNs: number): BootMarks {
    const { create, load, kernelStart, init } = this.#marks;
    return {
      ...(create === undefined ? {} : { create }),
      ...(load === undefined ? {} : { load }),
      ...(firstEntryNs === 0 ? {} : { firstInstruction: this.#since(firstEntryNs) }),
      ...(kernelStart === undefined ? {} : { kernelStart }),
      ...(init === undefined ? {} : { init }),
    };
  }

  #since(ns: number): number {
    return (ns - this.#begin) / 1e6;
  }
}
