// DirtyHarvest: what one consumer's transaction shows, as data: ranges, bitmaps, counts, writers. Nothing is allocated per page, and
// per region nothing either. Thread: the memory's owner.

import { native } from '../../../native/index.ts';
import { DirtyBitmap } from '../../../shared/dirty-bitmap.ts';
import { HypervisorError, invalidType } from '../../../shared/errors.ts';
import { hex, PAGE_SIZE, toU64, type U64 } from '../../../shared/units.ts';
import { WRITER_UNKNOWN, type Writer } from '../../../shared/writer.ts';
import { trace } from '../trace.ts';
import type { CursorPages, RegionSet } from './cursor-pages.ts';
import { checkPlace } from './options.ts';
import { endOf, type OwnedRegion } from './region-list.ts';

const onCommit = trace('memory.harvest.commit');
const onAbort = trace('memory.harvest.abort');

/** Dirty guest memory: `size` bytes (whole pages) from `guestAddr` on. */
export interface DirtyPageInfo {
  readonly guestAddr: number;
  readonly size: number;
}

/** How many pages of a harvest a writer wrote, as far as it is known. */
export interface WriterPages {
  readonly writer: Writer;
  readonly pages: number;
}

/** A cursor's room for ranges: made once, grown as needed, used by one harvest after the other. */
export class RangeBuffer {
  pairs = new Float64Array(256);

  /** Room for `length` numbers; the first `used` stay. */
  grow(length: number, used: number): void {
    const pairs = new Float64Array(Math.max(length, 2 * this.pairs.length));
    pairs.set(this.pairs.subarray(0, used));
    this.pairs = pairs;
  }
}

/** Where a harvest comes from. */
export interface HarvestOrigin {
  readonly set: RegionSet;
  readonly pages: CursorPages;
  readonly buffer: RangeBuffer;
  /** What a writer's code means in this memory. */
  readonly writerOf: (code: number) => Writer;
  /** Called once, at the end of the harvest. */
  readonly onEnd: () => void;
}

/**
 * The pages written since the last committed harvest of the same consumer, as they were when it began. Begin, look, replicate, then
 * `commit()`; or `abort()`, and every page is reported again. Leaving a `using` block without a commit aborts. Each consumer (a
 * cursor, or `memory.harvest()`) has one open at a time.
 *
 * Read a page's contents only after the harvest began: then no write is missed.
 */
export class DirtyHarvest {
  /** Undefined: it has ended, and holds no memory any more. */
  #origin: HarvestOrigin | undefined;
  #pageCount: number | undefined;
  /** Numbers in the cursor's buffer that are this harvest's ranges. */
  #rangeLength: number | undefined;

  /** @internal Use `memory.harvest()`. */
  constructor(origin: HarvestOrigin) {
    this.#origin = origin;
  }

  /** Number of dirty pages of 4096 bytes; a page that is mapped twice counts twice. @throws `ERR_HARVEST_ENDED` */
  get pageCount(): number {
    const { set, pages } = this.#open();
    if (this.#pageCount === undefined) {
      let count = 0;
      for (const { mapping, offset, size } of set.regions) {
        const taken = pages.taken(mapping);
        if (taken !== undefined) count += native().countBits(taken.bytes, offset / PAGE_SIZE, size / PAGE_SIZE);
      }
      this.#pageCount = count;
    }
    return this.#pageCount;
  }

  /** Dirty memory, ascending and merged, across regions that are neighbours too. @throws `ERR_HARVEST_ENDED` */
  ranges(): DirtyPageInfo[] {
    const pairs = this.rangeArray();
    const ranges: DirtyPageInfo[] = [];
    for (let index = 0; index < pairs.length; index += 2) {
      // SAFETY: pairs come in twos.
      ranges.push({ guestAddr: pairs[index] as number, size: pairs[index + 1] as number });
    }
    return ranges;
  }

  /**
   * The same as `ranges()` without an object per range: pairs of guest address and size, in bytes. A view of a buffer that the cursor's next
   * harvest uses again: valid until this one ends, copy what is to stay. @throws `ERR_HARVEST_ENDED`
   */
  rangeArray(): Float64Array {
    const origin = this.#open();
    this.#rangeLength ??= fillRanges(origin);
    return origin.buffer.pairs.subarray(0, this.#rangeLength);
  }

  /**
   * One bit per page of `range` (a region as `memory.regions()` returned it, or any other whole pages), least significant bit
   * first, ceil(pages / 64) * 8 bytes; a copy.
   * @throws `ERR_HARVEST_ENDED`; `ERR_MEMORY_UNMAPPED` for a range that had a gap when the harvest began; `ERR_MEMORY_ALIGNMENT`,
   *   `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`
   */
  bitmap(range: { readonly guestAddr: U64; readonly size: U64 }): Uint8Array {
    const { set, pages: cursor } = this.#open();
    if (typeof range !== 'object' || range === null) throw invalidType('range', 'an object', range);
    const { at, bytes } = checkPlace(range.guestAddr, range.size);
    const bitmap = new DirtyBitmap(bytes / PAGE_SIZE);
    // Several regions, where a watch or setReadOnly() has split one since the caller asked for it.
    for (const { region, start, end } of partsOf(set, at, at + bytes)) {
      const taken = cursor.taken(region.mapping);
      if (taken === undefined) continue;
      const first = pageOf(region, start);
      const count = (end - start) / PAGE_SIZE;
      if (end - start === bytes) return taken.slice(first, count).bytes;
      const shift = (start - at) / PAGE_SIZE - first;
      taken.eachRun(first, count, (page, run) => bitmap.addRange(page + shift, run));
    }
    return bitmap.bytes;
  }

  /**
   * Who wrote the pages of this harvest, most pages first. Needs `attribution`, without which every page's writer is unknown. One writer per
   * page: of several it is one of them. A page that was written again after this harvest began may show the later writer.
   * @throws `ERR_HARVEST_ENDED`
   */
  writers(): WriterPages[] {
    const { set, pages, writerOf } = this.#open();
    const counts = new Map<number, number>();
    for (const { mapping, offset, size } of set.regions) {
      const { writers } = mapping;
      pages.taken(mapping)?.eachRun(offset / PAGE_SIZE, size / PAGE_SIZE, (first, run) => {
        // Runs of one writer are usual: the map is asked once per change.
        let code: number = writers?.[first] ?? WRITER_UNKNOWN;
        let from = first;
        for (let page = first + 1; writers !== undefined && page < first + run; page++) {
          const next = writers[page] ?? WRITER_UNKNOWN;
          if (next === code) continue;
          counts.set(code, (counts.get(code) ?? 0) + page - from);
          code = next;
          from = page;
        }
        counts.set(code, (counts.get(code) ?? 0) + first + run - from);
      });
    }
    return byWriter(counts, writerOf);
  }

  /**
   * Who wrote the page at `addr`, as `writers()` says it; unknown for a page that is not in this harvest.
   * @throws `ERR_HARVEST_ENDED`; `ERR_MEMORY_UNMAPPED` when no region held it when the harvest began; `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`
   */
  writerAt(addr: U64): Writer {
    const { set, pages, writerOf } = this.#open();
    const guestAddr = toU64(addr, 'addr');
    let code: number | undefined;
    for (const { region } of partsOf(set, guestAddr, guestAddr + 1)) {
      const page = pageOf(region, guestAddr);
      if (pages.taken(region.mapping)?.has(page) === true) code = region.mapping.writers?.[page];
    }
    return writerOf(code ?? WRITER_UNKNOWN);
  }

  /** The pages were dealt with: forget them. @throws `ERR_HARVEST_ENDED` */
  commit(): void {
    onCommit.sync(
      () => ({ harvest: this }),
      () => this.#finish(true),
    );
  }

  /** Keep the pages: the next harvest reports them again. @throws `ERR_HARVEST_ENDED` */
  abort(): void {
    onAbort.sync(
      () => ({ harvest: this }),
      () => this.#finish(false),
    );
  }

  /** Was it committed or aborted? */
  get ended(): boolean {
    return this.#origin === undefined;
  }

  /** Aborts, unless it has ended. */
  [Symbol.dispose](): void {
    if (!this.ended) this.abort();
  }

  #open(): HarvestOrigin {
    if (this.#origin === undefined)
      throw new HypervisorError('ERR_HARVEST_ENDED', 'this harvest was committed or aborted');
    return this.#origin;
  }

  #finish(committed: boolean): void {
    const { set, pages, onEnd } = this.#open();
    this.#origin = undefined;
    if (committed) pages.commit(set);
    else pages.abort(set);
    onEnd();
  }
}

/** Ranges of all regions, into the cursor's buffer; returns how many numbers they are. */
function fillRanges({ set, pages, buffer }: HarvestOrigin): number {
  const { bitRanges } = native();
  let length = 0;
  for (const { mapping, offset, size, guestAddr } of set.regions) {
    const taken = pages.taken(mapping);
    if (taken === undefined) continue;
    const count = size / PAGE_SIZE;
    let next = bitRanges(taken.bytes, offset / PAGE_SIZE, count, guestAddr, buffer.pairs, length);
    if (next < 0) {
      buffer.grow(-next, length);
      next = bitRanges(taken.bytes, offset / PAGE_SIZE, count, guestAddr, buffer.pairs, length);
    }
    length = next;
  }
  return length;
}

interface Part {
  readonly region: OwnedRegion;
  readonly start: number;
  readonly end: number;
}

/** The regions of [start, end), each with its part, ascending. */
function partsOf({ regions }: RegionSet, start: number, end: number): Part[] {
  const parts: Part[] = [];
  let at = start;
  for (const region of regions) {
    if (at === end || region.guestAddr > at) break;
    if (endOf(region) <= at) continue;
    const stop = Math.min(end, endOf(region));
    parts.push({ region, start: at, end: stop });
    at = stop;
  }
  if (at < end) throw new HypervisorError('ERR_MEMORY_UNMAPPED', `no memory at ${hex(at)} when the harvest began`);
  return parts;
}

/** Index of the page in the region's mapping. */
function pageOf(region: OwnedRegion, guestAddr: number): number {
  return Math.floor((region.offset + (guestAddr - region.guestAddr)) / PAGE_SIZE);
}

/** Several codes may mean one writer (a vCPU by the ring, and by marks). */
function byWriter(counts: ReadonlyMap<number, number>, writerOf: (code: number) => Writer): WriterPages[] {
  const found = new Map<string, WriterPages>();
  for (const [code, pages] of counts) {
    const writer = writerOf(code);
    const key = JSON.stringify(writer);
    found.set(key, { writer, pages: pages + (found.get(key)?.pages ?? 0) });
  }
  return [...found.values()].sort((a, b) => b.pages - a.pages);
}
