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

/** CLOCK_MONOTONIC in ns, as in the statistics; 0: not yet. What the guest did, as its vCPUs' threads saw it. */
export interface GuestTimes {
  /** vCPU 0's first entry into the guest. */
  readonly firstEntry: number;
  /** Its console's first byte, and the opening of that by a driver. */
  readonly firstByte: number;
  readonly open: number;
}

export class BootClock {
  readonly #begin = now();
  readonly #marks: { create?: number; load?: number } = {};

  /** Now. The first time counts. */
  mark(mark: 'create' | 'load'): void {
    this.#marks[mark] ??= this.#since(now());
  }

  marks({ firstEntry, firstByte, open }: GuestTimes): BootMarks {
    return {
      ...this.#marks,
      ...(firstEntry === 0 ? {} : { firstInstruction: this.#since(firstEntry) }),
      ...(firstByte === 0 ? {} : { kernelStart: this.#since(firstByte) }),
      ...(open === 0 ? {} : { init: this.#since(open) }),
    };
  }

  #since(ns: number): number {
    return (ns - this.#begin) / 1e6;
  }
}

const now = () => Number(process.hrtime.bigint());
