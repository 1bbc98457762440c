// A vCPU's statistics: words in shared memory, and what they read as. Runs on every thread; pure.
// The first VCPU_STATS.WORDS words are u64 (native code writes them on the kvm engine, host-stats on the host engine); our own
// counters follow as float64, which counts exactly to 2^53 and allocates nothing. One writer a word; readers see each
// word whole, but the words of one exit not all at once.
//
// | own word  | writer | meaning                                              |
// |-----------|--------|------------------------------------------------------|
// | UNCLAIMED | vCPU   | accesses to ports and addresses that nobody claims   |
// | HANDOVERS | vCPU   | exits handled by a device on another thread          |
// | KICKS     | main   | signals sent                                         |

import { exitName } from './exits.ts';
import { VCPU_STATS } from './generated/kvm-abi.ts';

const OWN_WORDS = 8;
/** Bytes per vCPU: a multiple of a cache line. */
export const STATS_STRIDE = VCPU_STATS.SIZE + OWN_WORDS * 8;

const UNCLAIMED = 0;
const HANDOVERS = 1;
const KICKS = 2;

/** One vCPU's (or all vCPUs') numbers. Times in nanoseconds of CLOCK_MONOTONIC. */
export interface VcpuStatsSnapshot {
  /** Exits that were handled: KVM_RUN's returns without those that a signal ended. */
  readonly exits: number;
  /** Returns from KVM_RUN that a kick ended. */
  readonly interrupted: number;
  /** Exits by name (`io`, `mmio`, `hlt`, …); only those that happened. */
  readonly exitsByReason: Readonly<Record<string, number>>;
  readonly guestNs: number;
  readonly outsideNs: number;
  /** Bucket b: exits whose handling took [2^b, 2^(b+1)) ns; the last bucket is open. */
  readonly handlingHistogram: readonly number[];
  readonly unclaimed: number;
  readonly handovers: number;
  readonly kicks: number;
}

/** One vCPU's words. */
export class VcpuStatsWords {
  /** What native code gets: VCPU_STATS.SIZE bytes. */
  readonly native: Uint8Array;
  readonly #words: BigUint64Array;
  readonly #own: Float64Array;

  constructor(buffer: SharedArrayBuffer, index: number) {
    const at = index * STATS_STRIDE;
    this.native = new Uint8Array(buffer, at, VCPU_STATS.SIZE);
    this.#words = new BigUint64Array(buffer, at, VCPU_STATS.WORDS);
    this.#own = new Float64Array(buffer, at + VCPU_STATS.SIZE, OWN_WORDS);
  }

  /** What happens until the next exit is no handling: the vCPU was paused, parked or just started. */
  forgetLastReturn(): void {
    this.#words[VCPU_STATS.lastReturnNs] = 0n;
  }

  /** CLOCK_MONOTONIC, ns, of the first entry into KVM_RUN; 0 before it, and on the host engine. */
  get firstEntryNs(): number {
    return Number(this.#words[VCPU_STATS.firstEntryNs] ?? 0n);
  }

  countUnclaimed(): void {
    this.#own[UNCLAIMED] = (this.#own[UNCLAIMED] ?? 0) + 1;
  }

  countHandover(): void {
    this.#own[HANDOVERS] = (this.#own[HANDOVERS] ?? 0) + 1;
  }

  countKick(): void {
    this.#own[KICKS] = (this.#own[KICKS] ?? 0) + 1;
  }

  /** Host engine: an exit of `reason`, handled in `handlingNs`, after `guestNs` in the program. */
  countExit(reason: number, guestNs: number, handlingNs: number): void {
    this.#add(VCPU_STATS.exits, 1);
    this.#add(VCPU_STATS.exitsByReason + Math.min(reason, VCPU_STATS.exitReasons - 1), 1);
    this.#add(VCPU_STATS.guestNs, guestNs);
    this.#add(VCPU_STATS.outsideNs, handlingNs);
    const bucket = handlingNs < 2 ? 0 : Math.min(Math.floor(Math.log2(handlingNs)), VCPU_STATS.handlingBuckets - 1);
    this.#add(VCPU_STATS.handlingHistogram + bucket, 1);
  }

  snapshot(): VcpuStatsSnapshot {
    const word = (i: number): number => Number(this.#words[i] ?? 0n);
    const exitsByReason: Record<string, number> = {};
    for (let reason = 0; reason < VCPU_STATS.exitReasons; reason++) {
      const count = word(VCPU_STATS.exitsByReason + reason);
      if (count > 0) exitsByReason[exitName(reason)] = count;
    }
    return {
      exits: word(VCPU_STATS.exits),
      interrupted: word(VCPU_STATS.interrupted),
      exitsByReason,
      guestNs: word(VCPU_STATS.guestNs),
      outsideNs: word(VCPU_STATS.outsideNs),
      handlingHistogram: Array.from({ length: VCPU_STATS.handlingBuckets }, (_, b) =>
        word(VCPU_STATS.handlingHistogram + b),
      ),
      unclaimed: this.#own[UNCLAIMED] ?? 0,
      handovers: this.#own[HANDOVERS] ?? 0,
      kicks: this.#own[KICKS] ?? 0,
    };
  }

  #add(word: number, amount: number): void {
    this.#words[word] = (this.#words[word] ?? 0n) + BigInt(Math.round(amount));
  }
}

/** Words for `vcpus` vCPUs, zeroed. */
export function createStatsBuffer(vcpus: number): SharedArrayBuffer {
  return new SharedArrayBuffer(vcpus * STATS_STRIDE);
}

/** The sum over several vCPUs. */
export function sumStats(parts: readonly VcpuStatsSnapshot[]): VcpuStatsSnapshot {
  const exitsByReason: Record<string, number> = {};
  for (const part of parts) {
    for (const [name, count] of Object.entries(part.exitsByReason))
      exitsByReason[name] = (exitsByReason[name] ?? 0) + count;
  }
  const sum = (pick: (part: VcpuStatsSnapshot) => number): number =>
    parts.reduce((total, part) => total + pick(part), 0);
  return {
    exits: sum(p => p.exits),
    interrupted: sum(p => p.interrupted),
    exitsByReason,
    guestNs: sum(p => p.guestNs),
    outsideNs: sum(p => p.outsideNs),
    handlingHistogram: Array.from({ length: VCPU_STATS.handlingBuckets }, (_, b) =>
      sum(p => p.handlingHistogram[b] ?? 0),
    ),
    unclaimed: sum(p => p.unclaimed),
    handovers: sum(p => p.handovers),
    kicks: sum(p => p.kicks),
  };
}

/**
 * The `quantile` (0 to 1) of a histogram of powers of two, in nanoseconds: the upper edge of the bucket that holds it, so never
 * less than the true value and less than twice it. 0 for an empty histogram.
 */
export function histogramQuantile(histogram: readonly number[], quantile: number): number {
  const total = histogram.reduce((sum, count) => sum + count, 0);
  let left = Math.ceil(total * quantile);
  if (total === 0) return 0;
  for (let bucket = 0; bucket < histogram.length; bucket++) {
    left -= histogram[bucket] ?? 0;
    if (left <= 0) return 2 ** (bucket + 1);
  }
  return 2 ** histogram.length;
}
