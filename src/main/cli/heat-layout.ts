// How guest memory is laid out in the heat map: stretches of memory without holes, cut into cells. Main thread; pure.
// The picture on the terminal and the recording for HTML and JSON have cells of different sizes; both count with Bins.

import { PAGE_SIZE } from '../../../shared/units.ts';

/** Guest memory [guestAddr, guestAddr + size), in bytes. */
export interface Span {
  readonly guestAddr: number;
  readonly size: number;
}

/** Regions that touch, joined: what lies between two stretches is a hole. `regions` ascend. */
export function stretchesOf(regions: readonly Span[]): Span[] {
  const stretches: Span[] = [];
  for (const { guestAddr, size } of regions) {
    const last = stretches.at(-1);
    if (last !== undefined && last.guestAddr + last.size === guestAddr)
      stretches[stretches.length - 1] = { guestAddr: last.guestAddr, size: last.size + size };
    else stretches.push({ guestAddr, size });
  }
  return stretches;
}

/** Cells of `cellBytes` each, beginning anew with each stretch; the last one of a stretch may be shorter. */
export function cellsOf(stretches: readonly Span[], cellBytes: number): Span[] {
  return stretches.flatMap(({ guestAddr, size }) =>
    Array.from({ length: Math.ceil(size / cellBytes) }, (_, index) => ({
      guestAddr: guestAddr + index * cellBytes,
      size: Math.min(cellBytes, size - index * cellBytes),
    })),
  );
}

/** The smallest power of two, from one page up, that `fits` says yes to; the largest that makes sense when it never does. */
export function cellBytesFor(stretches: readonly Span[], fits: (cellBytes: number) => boolean): number {
  const largest = Math.max(PAGE_SIZE, ...stretches.map(({ size }) => size));
  let cellBytes = PAGE_SIZE;
  while (cellBytes < largest && !fits(cellBytes)) cellBytes *= 2;
  return cellBytes;
}

/** Spans that ascend and do not overlap, and how many pages of dirty ranges fall into each. */
export class Bins {
  readonly spans: readonly Span[];

  constructor(spans: readonly Span[]) {
    this.spans = spans;
  }

  get length(): number {
    return this.spans.length;
  }

  pages(bin: number): number {
    return (this.spans[bin]?.size ?? 0) / PAGE_SIZE;
  }

  /**
   * Adds to `counts[bin]` the pages of `ranges` (pairs of address and size in bytes, ascending, whole pages) that lie in the bin.
   * Pages in no bin are left out.
   */
  count(ranges: Float64Array, counts: Uint32Array): void {
    let bin = 0;
    for (let i = 0; i < ranges.length; i += 2) {
      const start = ranges[i] as number;
      const end = start + (ranges[i + 1] as number);
      for (; bin < this.spans.length; bin++) {
        const { guestAddr, size } = this.spans[bin] as Span;
        const overlap = Math.min(end, guestAddr + size) - Math.max(start, guestAddr);
        if (overlap > 0) counts[bin] = (counts[bin] ?? 0) + overlap / PAGE_SIZE;
        // The next range may begin in this bin as well.
        if (guestAddr + size >= end) break;
      }
    }
  }
}
