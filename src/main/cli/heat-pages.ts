// When each page was last seen dirty: the working set, and what was ever written. Main thread; pure.
// Four bytes per guest page, of which the host commits only those whose pages were written.

import { PAGE_SIZE } from '../../../shared/units.ts';
import type { Span } from './heat-layout.ts';

export class PageHistory {
  readonly #stretches: readonly Span[];
  /** Per stretch, its first page's index in `#seen`. */
  readonly #firsts: readonly number[];
  /** The number of the last harvest that had the page, from 1 on; 0: none. */
  readonly #seen: Uint32Array;
  /** Pages whose last harvest was number n, at n % length: those of the window. */
  readonly #recent: Uint32Array;
  #harvest = 0;
  #ever = 0;

  /** `window`: over how many harvests, at least 1, a page counts as part of the working set. */
  constructor(stretches: readonly Span[], window: number) {
    this.#stretches = stretches;
    let pages = 0;
    this.#firsts = stretches.map(({ size }) => {
      const first = pages;
      pages += size / PAGE_SIZE;
      return first;
    });
    this.#seen = new Uint32Array(pages);
    this.#recent = new Uint32Array(window);
  }

  /** A harvest: pairs of address and size, ascending. */
  add(ranges: Float64Array): void {
    this.#harvest += 1;
    this.#recent[this.#harvest % this.#recent.length] = 0;
    let stretch = 0;
    for (let i = 0; i < ranges.length; i += 2) {
      const start = ranges[i] as number;
      const end = start + (ranges[i + 1] as number);
      for (; stretch < this.#stretches.length; stretch++) {
        const { guestAddr, size } = this.#stretches[stretch] as Span;
        const base = (this.#firsts[stretch] as number) - guestAddr / PAGE_SIZE;
        const from = Math.max(start, guestAddr) / PAGE_SIZE;
        const to = Math.min(end, guestAddr + size) / PAGE_SIZE;
        if (to > from) this.#mark(base + from, base + to);
        if (guestAddr + size >= end) break;
      }
    }
  }

  /** Distinct pages written within the window. */
  get workingSet(): number {
    return this.#recent.reduce((sum, pages) => sum + pages, 0);
  }

  /** Distinct pages written at all. */
  get ever(): number {
    return this.#ever;
  }

  /** Distinct pages of `span` that were written at all. */
  everIn(span: Span): number {
    const end = span.guestAddr + span.size;
    let pages = 0;
    for (const [index, { guestAddr, size }] of this.#stretches.entries()) {
      const base = (this.#firsts[index] as number) - guestAddr / PAGE_SIZE;
      const from = Math.max(span.guestAddr, guestAddr) / PAGE_SIZE;
      const to = Math.min(end, guestAddr + size) / PAGE_SIZE;
      for (let page = from; page < to; page++) if (this.#seen[base + page] !== 0) pages += 1;
    }
    return pages;
  }

  #mark(from: number, to: number): void {
    const seen = this.#seen;
    const recent = this.#recent;
    const now = this.#harvest;
    const window = recent.length;
    for (let page = from; page < to; page++) {
      const last = seen[page] as number;
      if (last === 0) this.#ever += 1;
      else if (now - last < window) recent[last % window] = (recent[last % window] as number) - 1;
      seen[page] = now;
    }
    recent[now % window] = (recent[now % window] as number) + (to - from);
  }
}
