// The heat map as lines of text, for one size of terminal: cells that glow when their pages are written and fade afterwards.
// Main thread; pure. With colour a line holds two rows of cells (upper half block: its own colour above, the background's
// below); without, one row of characters.

import { hex, PAGE_SIZE } from '../../../shared/units.ts';
import { type ColourDepth, LEVELS, levelOf, rampOf, sgrOf } from './heat-colours.ts';
import { Bins, cellBytesFor, cellsOf, type Span } from './heat-layout.ts';
import { showSize } from './values.ts';

/** After this time a cell that is no longer written is half as hot. */
const HALF_LIFE_MS = 400;
const COLUMNS_MAX = 256;
/** Widths are multiples of this where there is room, so that rows begin at round addresses. */
const COLUMNS_STEP = 16;
const RESET = '\x1b[0m';

export interface PictureSize {
  /** Characters, address labels included. */
  readonly columns: number;
  readonly lines: number;
}

export class HeatPicture {
  readonly cellBytes: number;
  readonly #stretches: readonly Span[];
  readonly #depth: ColourDepth;
  readonly #width: number;
  readonly #labelWidth: number;
  readonly #columns: number;
  readonly #cells: Bins;
  readonly #counts: Uint32Array;
  /** Per cell: pages that are hot; a fraction while they fade. */
  readonly #heat: Float64Array;

  constructor(stretches: readonly Span[], size: PictureSize, depth: ColourDepth) {
    this.#stretches = stretches;
    this.#depth = depth;
    this.#width = size.columns;
    const last = stretches.at(-1);
    this.#labelWidth = Math.max(8, (last?.guestAddr ?? 0).toString(16).length) + 3;
    const room = Math.max(1, size.columns - this.#labelWidth);
    this.#columns = Math.min(COLUMNS_MAX, room < COLUMNS_STEP ? room : room - (room % COLUMNS_STEP));
    this.cellBytes = cellBytesFor(stretches, bytes => this.#linesOf(bytes) <= size.lines);
    this.#cells = new Bins(cellsOf(stretches, this.cellBytes));
    this.#counts = new Uint32Array(this.#cells.length);
    this.#heat = new Float64Array(this.#cells.length);
  }

  /** Dirty pages of the last `elapsedMs`: pairs of address and size in bytes, ascending. What was hot before has faded. */
  add(ranges: Float64Array, elapsedMs: number): void {
    this.#counts.fill(0);
    this.#cells.count(ranges, this.#counts);
    const fading = 2 ** (-elapsedMs / HALF_LIFE_MS);
    for (const [cell, pages] of this.#counts.entries())
      this.#heat[cell] = Math.max(pages, (this.#heat[cell] ?? 0) * fading);
  }

  /** Sets every cell to what `pagesIn` says: for a picture of the whole run. */
  set(pagesIn: (cell: Span) => number): void {
    for (const [cell, span] of this.#cells.spans.entries()) this.#heat[cell] = pagesIn(span);
  }

  /** The map, from low addresses to high ones, with a line for each hole. */
  lines(): string[] {
    const lines: string[] = [];
    let first = 0;
    for (const [index, stretch] of this.#stretches.entries()) {
      const before = this.#stretches[index - 1];
      if (before !== undefined) lines.push(this.#hole(before.guestAddr + before.size, stretch.guestAddr));
      const cells = Math.ceil(stretch.size / this.cellBytes);
      const rows = this.#depth === 'none' ? 1 : 2;
      for (let at = 0; at < cells; at += rows * this.#columns) {
        const label = hex8(stretch.guestAddr + at * this.cellBytes).padStart(this.#labelWidth - 1);
        lines.push(`${label} ${this.#row(first + at, first + cells)}`);
      }
      first += cells;
    }
    return lines;
  }

  /** What colours and characters mean. `live`: a cell shows the last moments, not the whole run. */
  legend(live: boolean): string {
    const pages = this.cellBytes / PAGE_SIZE;
    const steps = [0, 1, 0.25 * LEVELS, 0.5 * LEVELS, 0.75 * LEVELS, LEVELS - 1].map(Math.round);
    const swatch = (level: number) =>
      this.#depth === 'none' ? rampOf(level) : `\x1b[38;${sgrOf(level, this.#depth)}m██${RESET}`;
    const ramp = steps.slice(1).map(swatch).join('');
    const [least, most] =
      pages > 1
        ? ['1 page', `all ${pages.toLocaleString('en-US')}`]
        : live
          ? ['fading', 'just written']
          : ['', 'written'];
    return `a cell is ${showSize(this.cellBytes)}:  ${swatch(0)} clean   ${least} ${ramp} ${most}`;
  }

  #linesOf(cellBytes: number): number {
    const perLine = cellBytes * this.#columns * (this.#depth === 'none' ? 1 : 2);
    const holes = this.#stretches.length - 1;
    return this.#stretches.reduce((sum, { size }) => sum + Math.ceil(size / perLine), holes);
  }

  #hole(start: number, end: number): string {
    const text = `-- hole, ${showSize(end - start)} --`;
    return `${hex8(start).padStart(this.#labelWidth - 1)} ${text}`.slice(0, this.#width);
  }

  /** Cells from `first` on, up to `end`: one row, or two rows one above the other. */
  #row(first: number, end: number): string {
    const depth = this.#depth;
    let text = '';
    if (depth === 'none') {
      for (let cell = first; cell < Math.min(end, first + this.#columns); cell++) text += rampOf(this.#level(cell));
      return text;
    }
    let style = '';
    for (let cell = first; cell < Math.min(end, first + this.#columns); cell++) {
      const below = cell + this.#columns;
      const upper = `\x1b[38;${sgrOf(this.#level(cell), depth)}`;
      const wanted = below < end ? `${upper};48;${sgrOf(this.#level(below), depth)}m` : `${upper};49m`;
      if (wanted !== style) text += wanted;
      style = wanted;
      text += '▀';
    }
    return text + RESET;
  }

  #level(cell: number): number {
    return levelOf(this.#heat[cell] ?? 0, this.#cells.pages(cell));
  }
}

/** An address with at least 8 digits: `0x00100000`. */
export function hex8(address: number): string {
  return `0x${hex(address).slice(2).padStart(8, '0')}`;
}
