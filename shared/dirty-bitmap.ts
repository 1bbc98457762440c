// A set of pages: one bit per page, least significant bit first, the format of KVM_GET_DIRTY_LOG. Runs on every thread;
// pure. Not shared between threads: the words that several threads write are the mark bytes (span.ts).

/** Called for each run of consecutive pages. */
export type RunVisitor = (firstPage: number, pages: number) => void;

export class DirtyBitmap {
  readonly pages: number;
  /** ALIGN(pages, 64) / 8 bytes: what KVM writes. Bits from `pages` on are zero. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #words: Uint32Array;

  constructor(pages: number) {
    this.pages = pages;
    this.bytes = new Uint8Array(bitmapBytes(pages));
    this.#words = new Uint32Array(this.bytes.buffer);
  }

  has(page: number): boolean {
    return (((this.#words[page >>> 5] ?? 0) >>> (page & 31)) & 1) === 1;
  }

  clear(): void {
    this.bytes.fill(0);
  }

  /** Adds pages [first, first + pages). */
  addRange(first: number, pages: number): void {
    this.#eachWord(first, pages, (index, mask) => {
      this.#words[index] = (this.#words[index] as number) | mask;
    });
  }

  /**
   * Completes groups of pages: where one is in the set, the whole group is. Groups are `size` pages long; the first one begins at page
   * `phase` - `size` (0 < phase ≤ size). `visit`: each group that has pages, before it is completed.
   */
  completeGroups(size: number, phase: number, visit: RunVisitor): void {
    for (let first = phase - size; first < this.pages; first += size) {
      const from = Math.max(first, 0);
      const count = Math.min(first + size, this.pages) - from;
      if (!this.#any(from, count)) continue;
      visit(from, count);
      this.addRange(from, count);
    }
  }

  /** Removes pages [first, first + pages). */
  removeRange(first: number, pages: number): void {
    if (pages === this.pages) {
      this.clear();
      return;
    }
    this.#eachWord(first, pages, (index, mask) => {
      const word = this.#words[index] as number;
      if ((word & mask) !== 0) this.#words[index] = word & ~mask;
    });
  }

  /** Visits the runs within pages [first, first + pages), ascending, as long as possible. Time is per word and per run. */
  eachRun(first: number, pages: number, visit: RunVisitor): void {
    const words = this.#words;
    const end = first + pages;
    let start = -1;
    for (let page = first; page < end; ) {
      const bit = page & 31;
      const word = words[page >>> 5] as number;
      // Bits from `page` on that end the present stretch: set ones while searching, clear ones within a run.
      const turns = (start < 0 ? word : ~word) >>> bit;
      if (turns === 0) {
        page += 32 - bit;
        continue;
      }
      page += 31 - Math.clz32(turns & -turns);
      if (page >= end) break;
      if (start < 0) start = page;
      else {
        visit(start, page - start);
        start = -1;
      }
    }
    if (start >= 0) visit(start, end - start);
  }

  /** Pages [first, first + pages) as a bitmap of their own, which begins with bit 0. */
  slice(first: number, pages: number): DirtyBitmap {
    const result = new DirtyBitmap(pages);
    const shift = first & 31;
    const base = first >>> 5;
    const to = result.#words;
    for (let index = 0; index * 32 < pages; index++) {
      const low = (this.#words[base + index] ?? 0) >>> shift;
      const high = shift === 0 ? 0 : (this.#words[base + index + 1] ?? 0) << (32 - shift);
      to[index] = low | high;
    }
    const rest = pages & 31;
    if (rest !== 0) to[pages >>> 5] = (to[pages >>> 5] as number) & ((1 << rest) - 1);
    return result;
  }

  /** Is one of pages [first, first + pages) in the set? */
  #any(first: number, pages: number): boolean {
    const words = this.#words;
    const end = first + pages;
    for (let page = first; page < end; ) {
      const bit = page & 31;
      const taken = Math.min(32 - bit, end - page);
      if (((words[page >>> 5] as number) & (taken === 32 ? -1 : ((1 << taken) - 1) << bit)) !== 0) return true;
      page += taken;
    }
    return false;
  }

  #eachWord(first: number, pages: number, visit: (index: number, mask: number) => void): void {
    const end = first + pages;
    for (let page = first; page < end; ) {
      const bit = page & 31;
      const taken = Math.min(32 - bit, end - page);
      visit(page >>> 5, taken === 32 ? -1 : ((1 << taken) - 1) << bit);
      page += taken;
    }
  }
}

/** Bytes of a bitmap of `pages` pages: whole 64-bit words, as KVM writes them. */
function bitmapBytes(pages: number): number {
  return Math.ceil(pages / 64) * 8;
}
