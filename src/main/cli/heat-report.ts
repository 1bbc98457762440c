// A recorded heat map as JSON, and the table of its regions. Main thread; pure.

import { PAGE_SIZE } from '../../../shared/units.ts';
import type { Span } from './heat-layout.ts';
import { hex8 } from './heat-picture.ts';
import type { HeatRecord } from './heat-record.ts';
import { NOT_SEEN, type Watched } from './heat-text.ts';

/** `heat` of the command's JSON. Addresses and sizes in bytes, times in milliseconds since the start, counts in pages. */
export function heatReport(watched: Watched, record: HeatRecord, everyMs: number): object {
  const { history, cells } = record;
  return {
    source: watched.source,
    notSeen: NOT_SEEN[watched.source],
    everyMs,
    pageBytes: PAGE_SIZE,
    cellBytes: record.cellBytes,
    // Distinct pages; then pages of all harvests together, where a page counts once per harvest.
    pagesWritten: history.ever,
    pagesHarvested: record.pages,
    workingSet: history.workingSet,
    workingSetMs: record.windowMs,
    peakPagesPerSecond: record.peakRate,
    regions: record.regions.spans.map(({ guestAddr, size }, region) => ({
      guestAddr,
      size,
      pagesWritten: history.everIn({ guestAddr, size }),
      pagesHarvested: record.regionTotal(region),
    })),
    intervals: record.intervals.map(({ beginMs, endMs, harvests, pages, cells: counts }) => ({
      beginMs,
      endMs,
      harvests,
      pages,
      // Those that were written: address of the cell and number of pages.
      cells: [...counts].flatMap((count, cell) => (count === 0 ? [] : [[cells.spans[cell]?.guestAddr, count]])),
    })),
  };
}

/** A region of guest memory and what became of it. */
export interface RegionSummary {
  readonly region: Span;
  readonly pages: number;
  readonly pagesWritten: number;
  readonly pagesHarvested: number;
  readonly perSecond: number;
  /** The cell with the most pages; undefined when nothing was written. */
  readonly hottest: Span | undefined;
}

export function regionSummaries(record: HeatRecord): RegionSummary[] {
  const totals = new Float64Array(record.cells.length);
  for (const { cells } of record.intervals)
    for (const [cell, pages] of cells.entries()) totals[cell] = (totals[cell] ?? 0) + pages;
  const seconds = record.endMs / 1000;
  return record.regions.spans.map((region, index) => {
    const pagesHarvested = record.regionTotal(index);
    return {
      region: { guestAddr: region.guestAddr, size: region.size },
      pages: record.regions.pages(index),
      pagesWritten: record.history.everIn(region),
      pagesHarvested,
      perSecond: seconds > 0 ? pagesHarvested / seconds : 0,
      hottest: pagesHarvested === 0 ? undefined : hottestCell(record.cells.spans, totals, region),
    };
  });
}

function hottestCell(cells: readonly Span[], totals: Float64Array, region: Span): Span | undefined {
  const inside = (cell: Span) =>
    cell.guestAddr < region.guestAddr + region.size && region.guestAddr < cell.guestAddr + cell.size;
  let best: number | undefined;
  for (const [index, cell] of cells.entries())
    if (inside(cell) && (best === undefined || (totals[index] ?? 0) > (totals[best] ?? 0))) best = index;
  return best === undefined ? undefined : cells[best];
}

/** `0x00100000–0x001fffff`: both ends inclusive. */
export function rangeText({ guestAddr, size }: Span): string {
  return `${hex8(guestAddr)}–${hex8(guestAddr + size - 1)}`;
}
