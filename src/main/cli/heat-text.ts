// What the heat map says in words: the lines above and below the picture, a line per interval, the last line. Main thread; pure.

import { PAGE_SIZE } from '../../../shared/units.ts';
import type { DirtySourceName } from '../memory/dirty-source.ts';
import { levelOf, rampOf } from './heat-colours.ts';
import { Bins, cellBytesFor, cellsOf } from './heat-layout.ts';
import type { HeatRecord } from './heat-record.ts';
import { showSize } from './values.ts';

/** What each source cannot see (ARCHITECTURE.md, who sees what). */
export const NOT_SEEN: Readonly<Record<DirtySourceName, string>> = {
  bitmap: 'raw and WebAssembly stores, fs.read into guest RAM',
  ring: 'raw and WebAssembly stores, fs.read into guest RAM',
  pagemap: 'writes through another mapping of a shared file',
  host: 'raw and WebAssembly stores, fs.read into guest RAM',
};

/** What is being watched. */
export interface Watched {
  /** The image's file name. */
  readonly image: string;
  readonly engine: string;
  readonly vcpus: number;
  readonly memoryBytes: number;
  readonly source: DirtySourceName;
}

/** Exits of all vCPUs. */
export interface ExitCount {
  readonly total: number;
  readonly perSecond: number;
}

/** The guest's console must not steer our terminal, and every character has to be one column wide. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\u00a1-\u00ac\u00ae-\u024f\u2500-\u259f]/g, '·');
}

const count = (value: number) => Math.round(value).toLocaleString('en-US');
const pageBytes = (pages: number) => showSize(Math.round(pages) * PAGE_SIZE);

/** Four lines, at most `columns` wide. */
export function headerLines(watched: Watched, record: HeatRecord, exits: ExitCount, columns: number): string[] {
  const { image, engine, vcpus, memoryBytes, source } = watched;
  const time = `${(record.endMs / 1000).toFixed(1)} s`;
  const what = `${printable(image)} on ${engine}, ${vcpus} vCPU${vcpus === 1 ? '' : 's'}, ${showSize(memoryBytes)}`;
  const { rate, peakRate, windowMs, history } = record;
  return [
    `${what.slice(0, columns - time.length - 1).padEnd(columns - time.length)}${time}`,
    `dirty   ${count(rate)} pages/s (${pageBytes(rate)}/s), peak ${count(peakRate)}; exits ${count(exits.total)} (${count(exits.perSecond)}/s)`,
    `pages   working set ${count(history.workingSet)} (${pageBytes(history.workingSet)} in ${windowMs / 1000} s), so far ${count(history.ever)} (${pageBytes(history.ever)})`,
    `source  ${source}; not seen: ${NOT_SEEN[source]}`,
  ].map(line => line.slice(0, columns));
}

/** `12 s of heat: 345 pages written …`: what stays on the terminal. */
export function summaryLine(watched: Watched, record: HeatRecord): string {
  const seconds = record.endMs / 1000;
  const { ever } = record.history;
  return (
    `${count(ever)} pages (${pageBytes(ever)}) written in ${seconds.toFixed(2)} s, ${count(record.meanRate)} pages/s on average, ` +
    `${count(record.peakRate)} at most; source ${watched.source}, not seen: ${NOT_SEEN[watched.source]}`
  );
}

/** One line per interval, for output that is no terminal: numbers, and all of memory as a strip of characters. */
export class StripLines {
  readonly #record: HeatRecord;
  readonly #strips: readonly Bins[];

  constructor(record: HeatRecord, width: number) {
    this.#record = record;
    const { stretches } = record;
    const cellBytes = cellBytesFor(
      stretches,
      bytes => stretches.reduce((sum, { size }) => sum + Math.ceil(size / bytes), 0) <= width,
    );
    this.#strips = stretches.map(stretch => new Bins(cellsOf([stretch], cellBytes)));
  }

  /** Above the first line. */
  heading(): string {
    const cells = this.#strips[0]?.spans[0]?.size ?? 0;
    return `${numbers('time', 'dirty pages', 'pages/s', 'working set')}  memory from 0 up, ${showSize(cells)} per character`;
  }

  /** Of the interval that the record had last. */
  line(ranges: Float64Array): string {
    const strips = this.#strips.map(bins => {
      const counts = new Uint32Array(bins.length);
      bins.count(ranges, counts);
      return [...counts].map((dirty, cell) => rampOf(levelOf(dirty, bins.pages(cell)))).join('');
    });
    const { endMs, lastPages, rate, history } = this.#record;
    const time = `${(endMs / 1000).toFixed(2)} s`;
    return `${numbers(time, count(lastPages), count(rate), count(history.workingSet))}  |${strips.join('|')}|`;
  }
}

/** The columns of a line, and of their heading. */
function numbers(time: string, pages: string, rate: string, workingSet: string): string {
  return [time.padStart(10), pages.padStart(12), rate.padStart(10), workingSet.padStart(12)].join(' ');
}
