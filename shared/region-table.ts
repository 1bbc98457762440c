// The region table: which guest physical addresses are RAM, and where. Runs on every thread; pure. Immutable: a change makes
// a new table, so a reader on another thread never sees half of one. A naive model beside it: test/unit/memory-model.test.ts.

import type { RegionDescriptor } from './memory-layout.ts';
import { NO_SPAN, SPAN_SIZE, Span } from './span.ts';
import { PAGE_SIZE } from './units.ts';
import { WatchedSpan } from './watched-span.ts';

/** At most so many buckets: 64 GiB are then found in steps of 64 MiB. */
const BUCKETS = 1024;

export class RegionTable {
  /** Ascending by guest address, never overlapping. */
  readonly regions: readonly RegionDescriptor[];
  /** The same, cut into spans. */
  readonly spans: readonly Span[];
  /** Bytes of all regions together. */
  readonly size: number;
  /** The address after the last region's last byte; 0 without regions. */
  readonly limit: number;
  /**
   * For each stretch of 1 / #perByte bytes (a power of two) from address 0 on: the span that its first byte lies in, or else the
   * first one behind it. Most tables have one span at most in each: finding it is then a load and not a search.
   */
  readonly #buckets: readonly Span[] = [];
  readonly #perByte: number = 1 / PAGE_SIZE;

  /**
   * `writer`: what this thread marks with, the same in every table of a memory. Spans of regions that `previous` holds too are
   * taken over: they carry a dozen views each.
   */
  constructor(regions: readonly RegionDescriptor[], writer: number, previous?: RegionTable) {
    this.regions = [...regions].sort((a, b) => a.guestAddr - b.guestAddr);
    const spans: Span[] = [];
    let size = 0;
    for (const region of this.regions) {
      size += region.size;
      for (let from = 0; from < region.size; from += SPAN_SIZE) {
        const known = previous?.find(region.guestAddr + from);
        spans.push(known?.region === region ? known : newSpan(region, from, writer));
      }
    }
    this.spans = spans;
    this.size = size;
    this.limit = this.regions.reduce((limit, region) => Math.max(limit, region.guestAddr + region.size), 0);
    let stretch = PAGE_SIZE;
    while (stretch * BUCKETS < this.limit) stretch *= 2;
    this.#perByte = 1 / stretch;
    const buckets: Span[] = [];
    let index = 0;
    for (let from = 0; from < this.limit; from += stretch) {
      while ((spans[index]?.end ?? Number.POSITIVE_INFINITY) <= from) index++;
      buckets.push(spans[index] ?? NO_SPAN);
    }
    this.#buckets = buckets;
  }

  /** The span that `addr` lies in; NO_SPAN for every other number. O(1) where spans don't share a bucket. */
  near(addr: number): Span {
    // The conversion wraps around, which is harmless: the span is checked.
    const bucket = (addr * this.#perByte) >>> 0;
    if (bucket < this.#buckets.length) {
      // SAFETY: bucket < length.
      const span = this.#buckets[bucket] as Span;
      if (addr >= span.start && addr < span.end) return span;
    }
    return this.find(addr) ?? NO_SPAN;
  }

  /** The span that `addr` lies in. Binary search: O(log spans). */
  find(addr: number): Span | undefined {
    const index = lastAtOrBelow(this.spans, addr, span => span.start);
    const span = this.spans[index];
    return span !== undefined && addr < span.end ? span : undefined;
  }

  /** The spans of [addr, addr + length), which must be RAM without a gap; otherwise the first address that is not. */
  cover(addr: number, length: number): readonly Span[] | number {
    const found: Span[] = [];
    const end = addr + length;
    let index = lastAtOrBelow(this.spans, addr, span => span.start);
    for (let at = addr; at < end; index++) {
      const span = this.spans[index];
      if (span === undefined || at < span.start || at >= span.end) return at;
      found.push(span);
      at = span.end;
    }
    return found;
  }

  /** The first region that shares a byte with [addr, addr + size). */
  overlapping(addr: number, size: number): RegionDescriptor | undefined {
    const at = lastAtOrBelow(this.regions, addr + size - 1, region => region.guestAddr);
    const last = this.regions[at];
    return last !== undefined && last.guestAddr + last.size > addr ? last : undefined;
  }

  /** The region that begins at `addr`. */
  startingAt(addr: number): RegionDescriptor | undefined {
    const region = this.regions[lastAtOrBelow(this.regions, addr, each => each.guestAddr)];
    return region?.guestAddr === addr ? region : undefined;
  }
}

function newSpan(region: RegionDescriptor, from: number, writer: number): Span {
  const size = Math.min(SPAN_SIZE, region.size - from);
  if (region.watch === undefined) return new Span(region, from, size, writer);
  return new WatchedSpan(region, from, size, writer, region.watch);
}

/** Index of the last item whose key is ≤ `value`; -1 when there is none. Items ascend by key. */
function lastAtOrBelow<T>(items: readonly T[], value: number, key: (item: T) => number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    // SAFETY: low ≤ middle < high ≤ items.length.
    if (key(items[middle] as T) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export const EMPTY_TABLE = new RegionTable([], 0);
