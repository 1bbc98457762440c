// A consumer of dirty pages: harvests, reads the pages that the harvest names, then commits, and so keeps a copy of guest memory.
// At rest the copy must equal the memory. Main thread.

import type { DirtyHarvest, KvmMemory } from 'node-kvm';
import { END_PAGE, PAGE, writerOf } from './layout.ts';
import type { Random } from './random.ts';

/** Where harvests come from: the memory itself, or a cursor of it. */
export interface HarvestSource {
  harvest(): DirtyHarvest;
}

/** What was mapped at some time, as a consumer reads it: a removed region's pages stay readable in an open harvest. */
export class Mapped {
  readonly #parts: readonly { readonly start: number; readonly end: number; readonly bytes: Uint8Array }[];

  constructor(memory: KvmMemory) {
    this.#parts = memory.regions().map(({ guestAddr, size }) => ({
      start: guestAddr,
      end: guestAddr + size,
      bytes: memory.view(guestAddr, size),
    }));
  }

  get regions(): { guestAddr: number; size: number }[] {
    return this.#parts.map(({ start, end }) => ({ guestAddr: start, size: end - start }));
  }

  /** Visits [start, start + size) region by region. Throws for an address where nothing is mapped. */
  each(start: number, size: number, visit: (at: number, bytes: Uint8Array) => void): void {
    let at = start;
    while (at < start + size) {
      const from = at;
      const part = this.#parts.find(each => each.start <= from && from < each.end);
      if (part === undefined) throw new Error(`a harvest names 0x${at.toString(16)}, where nothing was mapped`);
      const end = Math.min(start + size, part.end);
      visit(at, part.bytes.subarray(at - part.start, end - part.start));
      at = end;
    }
  }
}

type Reading = (harvest: DirtyHarvest, mapped: Mapped, page: (at: number, size: number) => void) => void;

/** The ways to read a harvest; each names the same pages. */
const READINGS: readonly Reading[] = [
  (harvest, _, visit) => {
    const pairs = harvest.rangeArray();
    for (let index = 0; index < pairs.length; index += 2) visit(pairs[index] as number, pairs[index + 1] as number);
  },
  (harvest, _, visit) => {
    for (const { guestAddr, size } of harvest.ranges()) visit(guestAddr, size);
  },
  (harvest, mapped, visit) => {
    for (const region of mapped.regions) {
      const bits = harvest.bitmap(region);
      for (let page = 0; page * PAGE < region.size; page++) {
        if (((bits[page >>> 3] as number) >>> (page & 7)) & 1) visit(region.guestAddr + page * PAGE, PAGE);
      }
    }
  },
];

export class Replica {
  readonly name: string;
  readonly #source: HarvestSource;
  readonly #copy = new Uint8Array(END_PAGE * PAGE);
  /** Per page, the number of the last harvest that named it. */
  readonly #named = new Uint32Array(END_PAGE);
  #harvests = 0;
  #pages = 0;

  constructor(name: string, source: HarvestSource) {
    this.name = name;
    this.#source = source;
  }

  get harvests(): number {
    return this.#harvests;
  }

  /** Pages replayed. */
  get pages(): number {
    return this.#pages;
  }

  /** Before the first harvest, and with tracking on already: everything. */
  copyAll(mapped: Mapped): void {
    for (const { guestAddr, size } of mapped.regions) this.#replay(mapped, guestAddr, size);
  }

  /** [start, start + size) is new memory, which nobody has written to. */
  clear(start: number, size: number): void {
    this.#copy.fill(0, start, start + size);
  }

  /** One harvest: opened, read and committed, or now and then thrown away by abort(). `meanwhile` runs while it is open. */
  step(mapped: Mapped, random: Random, options: { mayAbort: boolean; meanwhile?: () => void }): void {
    const harvest = this.#source.harvest();
    this.#harvests += 1;
    options.meanwhile?.();
    if (options.mayAbort && random.oneIn(13)) {
      harvest.abort();
      return;
    }
    let bytes = 0;
    random.pick(READINGS)(harvest, mapped, (at, size) => {
      bytes += size;
      this.#replay(mapped, at, size);
      this.#named.fill(this.#harvests, at / PAGE, (at + size) / PAGE);
    });
    const { pageCount } = harvest;
    if (pageCount !== bytes / PAGE) {
      throw new Error(`${this.name}: harvest ${this.#harvests} counts ${pageCount} pages and names ${bytes / PAGE}`);
    }
    this.#pages += pageCount;
    harvest.commit();
  }

  /** What differs from the memory, at rest: one line per page for the first of them. Empty: equal, byte for byte. */
  differences(mapped: Mapped): string[] {
    const lines: string[] = [];
    for (const { guestAddr, size } of mapped.regions) {
      mapped.each(guestAddr, size, (start, bytes) => {
        const copy = this.#copy.subarray(start, start + bytes.length);
        if (Buffer.compare(bytes, copy) === 0) return;
        for (let from = 0; from < bytes.length; from += PAGE) {
          const word = firstDifference(bytes.subarray(from, from + PAGE), copy.subarray(from, from + PAGE));
          if (word !== undefined) lines.push(this.#describe(start + from, word));
        }
      });
    }
    return lines;
  }

  #replay(mapped: Mapped, start: number, size: number): void {
    mapped.each(start, size, (at, bytes) => this.#copy.set(bytes, at));
  }

  #describe(page: number, word: Difference): string {
    const named = this.#named[page / PAGE] as number;
    const when = named === 0 ? 'never named by a harvest' : `last named by harvest ${named} of ${this.#harvests}`;
    return (
      `${this.name}: page 0x${page.toString(16)} at +0x${word.offset.toString(16)}: memory 0x${word.live.toString(16)} by ` +
      `${writerOf(word.live)}, copy 0x${word.copy.toString(16)} by ${writerOf(word.copy)}; ${when}`
    );
  }
}

interface Difference {
  readonly offset: number;
  readonly live: number;
  readonly copy: number;
}

function firstDifference(live: Uint8Array, copy: Uint8Array): Difference | undefined {
  const a = new Uint32Array(live.buffer, live.byteOffset, PAGE / 4);
  const b = new Uint32Array(copy.buffer, copy.byteOffset, PAGE / 4);
  const index = a.findIndex((word, at) => word !== b[at]);
  return index < 0 ? undefined : { offset: index * 4, live: a[index] as number, copy: b[index] as number };
}
