// What a heat map remembers: dirty pages per cell and interval, since the beginning. Main thread; pure.
// Bounded however long it runs: when there are too many intervals, neighbours are merged in pairs, and from then on an interval
// gathers twice as many harvests.

import { Bins, cellBytesFor, cellsOf, type Span, stretchesOf } from './heat-layout.ts';
import { PageHistory } from './heat-pages.ts';

/** A working set is what was written within this time. */
const WORKING_SET_MS = 1000;
/** A rate is taken over at least this time: over a few milliseconds it would be noise. */
const RATE_MS = 100;

/** One column of the map: what `harvests` harvests in a row saw. A page counts once per harvest. */
export interface Interval {
  readonly beginMs: number;
  readonly endMs: number;
  readonly harvests: number;
  readonly pages: number;
  /** Pages per cell; their sum is `pages`. */
  readonly cells: Uint32Array;
}

export interface RecordLimits {
  /** An even number. Intervals are never more; after a merge they are half as many. */
  readonly intervals: number;
  readonly cells: number;
}

const LIMITS: RecordLimits = { intervals: 800, cells: 512 };

export class HeatRecord {
  readonly regions: Bins;
  readonly stretches: readonly Span[];
  readonly cells: Bins;
  readonly cellBytes: number;
  /** How long a page stays in the working set. */
  readonly windowMs: number;
  readonly history: PageHistory;
  readonly #limits: RecordLimits;
  readonly #regionCounts: Uint32Array;
  readonly #regionTotals: Float64Array;
  #intervals: Interval[] = [];
  /** Harvests that an interval gathers. */
  #gather = 1;
  #pages = 0;
  #lastPages = 0;
  #rate: number | undefined;
  #peakRate = 0;
  /** Since the last rate was taken. */
  #rateBeginMs = 0;
  #ratePages = 0;

  /** `regions` ascend. `everyMs`: the time between two harvests. */
  constructor(regions: readonly Span[], everyMs: number, limits: RecordLimits = LIMITS) {
    this.regions = new Bins(regions);
    this.stretches = stretchesOf(regions);
    this.cellBytes = cellBytesFor(
      this.stretches,
      bytes => this.stretches.reduce((sum, { size }) => sum + Math.ceil(size / bytes), 0) <= limits.cells,
    );
    this.cells = new Bins(cellsOf(this.stretches, this.cellBytes));
    const window = Math.max(1, Math.round(WORKING_SET_MS / everyMs));
    this.windowMs = window * everyMs;
    this.history = new PageHistory(this.stretches, window);
    this.#limits = limits;
    this.#regionCounts = new Uint32Array(regions.length);
    this.#regionTotals = new Float64Array(regions.length);
  }

  /** A harvest of what was written from `beginMs` to `endMs`: pairs of address and size in bytes, ascending, whole pages. */
  add(ranges: Float64Array, beginMs: number, endMs: number): void {
    this.history.add(ranges);
    this.#regionCounts.fill(0);
    this.regions.count(ranges, this.#regionCounts);
    for (const [region, pages] of this.#regionCounts.entries())
      this.#regionTotals[region] = (this.#regionTotals[region] ?? 0) + pages;
    const cells = new Uint32Array(this.cells.length);
    this.cells.count(ranges, cells);
    const pages = cells.reduce((sum, count) => sum + count, 0);
    this.#pages += pages;
    this.#lastPages = pages;
    this.#takeRate(pages, endMs);
    const interval = { beginMs, endMs, harvests: 1, pages, cells };
    const open = this.#intervals.at(-1);
    if (open !== undefined && open.harvests < this.#gather)
      this.#intervals[this.#intervals.length - 1] = merged(open, interval);
    else {
      if (this.#intervals.length === this.#limits.intervals) this.#coarsen();
      this.#intervals.push(interval);
    }
  }

  /** By time, without gaps. */
  get intervals(): readonly Interval[] {
    return this.#intervals;
  }

  /** Pages of all harvests together: a page counts once per harvest. */
  get pages(): number {
    return this.#pages;
  }

  /** Pages per second, of the last tenth of a second or the last interval, whichever is longer. */
  get rate(): number {
    return this.#rate ?? perSecond(this.#ratePages, this.endMs);
  }

  /** The highest `rate` so far. */
  get peakRate(): number {
    return Math.max(this.#peakRate, this.rate);
  }

  /** Pages per second since the beginning. */
  get meanRate(): number {
    return perSecond(this.#pages, this.endMs);
  }

  /** Pages of the last harvest. */
  get lastPages(): number {
    return this.#lastPages;
  }

  get endMs(): number {
    return this.#intervals.at(-1)?.endMs ?? 0;
  }

  /** Per region: pages of all harvests together. */
  regionTotal(region: number): number {
    return this.#regionTotals[region] ?? 0;
  }

  #takeRate(pages: number, nowMs: number): void {
    this.#ratePages += pages;
    const elapsedMs = nowMs - this.#rateBeginMs;
    if (elapsedMs < RATE_MS) return;
    this.#rate = perSecond(this.#ratePages, elapsedMs);
    this.#peakRate = Math.max(this.#peakRate, this.#rate);
    this.#rateBeginMs = nowMs;
    this.#ratePages = 0;
  }

  #coarsen(): void {
    const pairs: Interval[] = [];
    for (let i = 0; i < this.#intervals.length; i += 2)
      pairs.push(merged(this.#intervals[i] as Interval, this.#intervals[i + 1] as Interval));
    this.#intervals = pairs;
    this.#gather *= 2;
  }
}

function perSecond(pages: number, elapsedMs: number): number {
  return elapsedMs > 0 ? (1000 * pages) / elapsedMs : 0;
}

/** Reuses the first one's cells. */
function merged(first: Interval, second: Interval): Interval {
  const { cells } = first;
  for (const [cell, pages] of second.cells.entries()) cells[cell] = (cells[cell] ?? 0) + pages;
  return {
    beginMs: first.beginMs,
    endMs: second.endMs,
    harvests: first.harvests + second.harvests,
    pages: first.pages + second.pages,
    cells,
  };
}
