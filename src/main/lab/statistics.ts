// What repetitions say: medians, intervals by bootstrap over visits, outliers. A visit is a run of repetitions without a pause; visits are what is
// independent, so that they are what the bootstrap draws. Pure functions, seeded; any thread. Imports no part of the machine.

import { coefficientOfVariation, median, medianAbsoluteDeviation, quantile } from 'simple-statistics';
import type { Estimate, Latency } from './report.ts';

/** Makes the median absolute deviation of normal noise its standard deviation. */
export const MAD_TO_SIGMA = 1.4826;
/** Outliers are further than so many standard deviations (by the MAD) from the median. */
const OUTLIER_SIGMAS = 3;
const RESAMPLES = 1000;

/**
 * Numbers in [0, 1), the same for the same seed (any integer): a Weyl sequence whose terms are mixed by two multiplications. For shuffles and
 * resampling, not for secrets.
 */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e37_79b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85eb_ca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

/**
 * What the visits say of the true value. `visits`: at least one, none of them empty, finite numbers.
 *
 * The median is that of the visits' medians: each visit counts the same. The interval is a hierarchical percentile bootstrap: visits are drawn with
 * replacement, then repetitions within each of them. Outliers are counted and kept.
 */
export function estimate(
  visits: readonly (readonly number[])[],
  random: () => number,
  { resamples = RESAMPLES }: { readonly resamples?: number } = {},
): Estimate {
  const medians = visits.map(visit => median([...visit]));
  const all = visits.flat();
  const center = median(all);
  const reach = OUTLIER_SIGMAS * MAD_TO_SIGMA * medianAbsoluteDeviation(all);
  return {
    median: median(medians),
    interval: bootstrap(visits, random, resamples),
    variation: medians.length < 2 || medians.every(value => value === 0) ? 0 : coefficientOfVariation(medians),
    visits,
    outliers: all.filter(value => Math.abs(value - center) > reach).length,
  };
}

function bootstrap(visits: readonly (readonly number[])[], random: () => number, resamples: number) {
  const drawn: number[] = [];
  const medians = new Float64Array(visits.length);
  const values = new Float64Array(Math.max(...visits.map(visit => visit.length)));
  for (let i = 0; i < resamples; i += 1) {
    for (let v = 0; v < visits.length; v += 1) {
      const visit = visits[Math.floor(random() * visits.length)] ?? [];
      for (let r = 0; r < visit.length; r += 1) values[r] = visit[Math.floor(random() * visit.length)] ?? Number.NaN;
      medians[v] = medianOfFirst(values, visit.length);
    }
    drawn.push(medianOfFirst(medians, medians.length));
  }
  const [low = Number.NaN, high = Number.NaN] = quantile(drawn, [0.025, 0.975]);
  return { low, high };
}

/** Sorts the first `count` in place, by insertion: they are few, and this is the bootstrap's inner loop. */
function medianOfFirst(values: Float64Array, count: number): number {
  for (let i = 1; i < count; i += 1) {
    const value = values[i] ?? 0;
    let at = i - 1;
    for (; at >= 0 && (values[at] ?? 0) > value; at -= 1) values[at + 1] = values[at] ?? 0;
    values[at + 1] = value;
  }
  const middle = count >> 1;
  const upper = values[middle] ?? Number.NaN;
  return count % 2 === 1 ? upper : (upper + (values[middle - 1] ?? Number.NaN)) / 2;
}

/**
 * `value / baseline`, each visit by the one of the same number, which ran next to it: what slows the machine down for longer than that slows both.
 * Undefined where the baseline has no time (a median of 0), or there is no visit of both.
 */
export function ratioEstimate(
  value: readonly (readonly number[])[],
  baseline: readonly (readonly number[])[],
  random: () => number,
  options?: { readonly resamples?: number },
): Estimate | undefined {
  const both = Math.min(value.length, baseline.length);
  const ratios = Array.from({ length: both }, (_, index) => [
    median([...(value[index] ?? [])]) / median([...(baseline[index] ?? [])]),
  ]);
  if (both === 0 || ratios.some(([ratio = 0]) => !Number.isFinite(ratio))) return undefined;
  return estimate(ratios, random, options);
}

/** How far the interval reaches from the median at most, as a share of the median; Infinity for a median of 0. */
export function halfWidth({ median: center, interval }: Estimate): number {
  if (center === 0) return Number.POSITIVE_INFINITY;
  return Math.max(interval.high - center, center - interval.low) / Math.abs(center);
}

/** Buckets for each doubling: their bounds are 3 % apart. Below it, buckets are one nanosecond wide. */
const BUCKETS_PER_DOUBLING = 32;

/** Counts latencies in buckets of 3 % (1 ns below 32 ns): as many as one likes, in little memory. */
export class LatencyCounter {
  readonly #buckets = new Map<number, number>();
  #count = 0;
  #max = 0;

  /** `samplesNs`: nanoseconds, 0 and up; fractions are rounded up. */
  add(samplesNs: ArrayLike<number>): void {
    for (let i = 0; i < samplesNs.length; i += 1) {
      const ns = Math.ceil(samplesNs[i] ?? 0);
      const bound = upperBound(ns);
      this.#buckets.set(bound, (this.#buckets.get(bound) ?? 0) + 1);
      this.#count += 1;
      this.#max = Math.max(this.#max, ns);
    }
  }

  /** Percentiles are upper bounds of buckets, and never above the largest sample. Undefined before the first sample. */
  result(): Latency | undefined {
    if (this.#count === 0) return undefined;
    const histogram = [...this.#buckets].sort(([a], [b]) => a - b);
    const at = (share: number) => {
      let left = Math.ceil(share * this.#count);
      for (const [bound, samples] of histogram) {
        left -= samples;
        if (left <= 0) return Math.min(bound, this.#max);
      }
      return this.#max;
    };
    return {
      unit: 'ns',
      count: this.#count,
      p50: at(0.5),
      p90: at(0.9),
      p99: at(0.99),
      p999: at(0.999),
      max: this.#max,
      histogram,
    };
  }
}

function upperBound(ns: number): number {
  if (ns <= BUCKETS_PER_DOUBLING) return ns;
  const width = 2 ** Math.floor(Math.log2(ns - 1)) / BUCKETS_PER_DOUBLING;
  return Math.ceil(Math.ceil(ns / width) * width);
}
