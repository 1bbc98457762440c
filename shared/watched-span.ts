// A span whose writes are watched: every store through the API, on any thread, is reported to the memory's owner once it is in memory.
// Runs on every thread; pure. A class of its own, so that spans that nobody watches don't even ask.

import type { Layout } from './layout.ts';
import type { AddressRange, RegionDescriptor, WatchDescriptor } from './memory-layout.ts';
import { Span } from './span.ts';
import { PAGE_SHIFT, PAGE_SIZE } from './units.ts';
import { WatchRing } from './watch-ring.ts';

export class WatchedSpan extends Span {
  readonly #ring: WatchRing;
  readonly #ranges: readonly AddressRange[];
  readonly #touched: Uint8Array;

  constructor(region: RegionDescriptor, from: number, size: number, writer: number, watch: WatchDescriptor) {
    super(region, from, size, writer);
    this.#ring = new WatchRing(watch.ring);
    this.#ranges = watch.ranges;
    this.#touched = new Uint8Array(watch.touched, from / PAGE_SIZE, size / PAGE_SIZE);
  }

  /** As for any span, but by way of mark(). */
  override store<T, W>(at: number, type: Layout<T, W>, value: W): void {
    this.markPages(at, type.size);
    type.store(this, at, value);
    this.mark(at, type.size);
  }

  /** Called after every store: marks the pages, and reports what of them is watched. */
  override mark(at: number, length: number): void {
    super.mark(at, length);
    this.report(at, length);
  }

  override report(at: number, length: number): void {
    this.#touched.fill(1, at >>> PAGE_SHIFT, ((at + length - 1) >>> PAGE_SHIFT) + 1);
    const start = this.start + at;
    const end = start + length;
    for (const range of this.#ranges) {
      if (range.end <= start || range.start >= end) continue;
      const first = Math.max(start, range.start);
      const last = Math.min(end, range.end);
      this.#ring.report(first, this.writer, this.bytes.subarray(first - this.start, last - this.start));
    }
  }
}
