// The dirty pages of one consumer: per mapping, those that wait for its next harvest (*pending*) and those that its open harvest
// shows (*taken*). Pages belong to mappings, not to regions: splitting and merging regions moves nothing, and a page that is
// mapped twice is dirty at both addresses. Thread: the memory's owner.
//
// A clean bitmap is never passed over: each has a flag beside it that says whether it may hold anything. 128 KiB per 4 GiB of RAM are
// little, but a harvest that finds nothing should cost what its sources cost.

import { native } from '../../../native/index.ts';
import { DirtyBitmap } from '../../../shared/dirty-bitmap.ts';
import { PAGE_SIZE } from '../../../shared/units.ts';
import type { Mapping } from './mapping.ts';
import type { OwnedRegion } from './region-list.ts';

/** Regions, and the mappings that they lie in, as they were at one moment. */
export interface RegionSet {
  readonly regions: readonly OwnedRegion[];
  readonly mappings: readonly Mapping[];
}

interface MappingPages {
  pending: DirtyBitmap;
  taken: DirtyBitmap;
  /** False: no bit is set. */
  hasPending: boolean;
  hasTaken: boolean;
}

export class CursorPages {
  // By mapping, and weakly: a mapping whose regions are gone keeps its pages as long as its buffer may be added again.
  readonly #of = new WeakMap<Mapping, MappingPages>();
  /** The next take shows every page. */
  #everything = false;

  /** Every page is dirty, whatever is recorded: nothing is known of the time before, or of a time when nobody looked. */
  addEverything(): void {
    this.#everything = true;
  }

  /** Where pages of `mapping` are to be added; the caller adds at least one. */
  pendingOf(mapping: Mapping): Uint8Array {
    const pages = this.#pagesOf(mapping);
    pages.hasPending = true;
    return pages.pending.bytes;
  }

  /** Takes the mapping's fresh pages over if none of its own wait: bitmaps change hands, and nothing is copied. False: some wait. */
  adoptFresh(mapping: Mapping): boolean {
    const pages = this.#pagesOf(mapping);
    if (pages.hasPending) return false;
    pages.pending = mapping.exchangeFresh(pages.pending);
    pages.hasPending = true;
    return true;
  }

  /** Hands everything pending to a harvest, which ends with `commit` or `abort`; what comes meanwhile is the next one's. */
  take(set: RegionSet): void {
    if (this.#everything) {
      for (const { mapping, offset, size } of set.regions) {
        const pages = this.#pagesOf(mapping);
        pages.pending.addRange(offset / PAGE_SIZE, size / PAGE_SIZE);
        pages.hasPending = true;
      }
      this.#everything = false;
    }
    for (const mapping of set.mappings) {
      const pages = this.#of.get(mapping);
      if (pages?.hasPending === true) swap(pages);
    }
  }

  /** The pages of `mapping` that the open harvest shows; undefined: none. */
  taken(mapping: Mapping): DirtyBitmap | undefined {
    const pages = this.#of.get(mapping);
    return pages?.hasTaken === true ? pages.taken : undefined;
  }

  /** Forgets the taken pages of the regions. Those of their mappings that no region showed wait until one does. */
  commit(set: RegionSet): void {
    for (const { mapping, offset, size } of set.regions) {
      const pages = this.#of.get(mapping);
      if (pages?.hasTaken !== true) continue;
      pages.taken.removeRange(offset / PAGE_SIZE, size / PAGE_SIZE);
      if (size === mapping.buffer.byteLength) pages.hasTaken = false;
    }
    for (const mapping of set.mappings) {
      const pages = this.#of.get(mapping);
      if (pages?.hasTaken !== true) continue;
      pages.hasTaken = native().countBits(pages.taken.bytes, 0, mapping.pages) > 0;
      giveBack(pages);
    }
  }

  /** The taken pages are pending again. */
  abort(set: RegionSet): void {
    for (const mapping of set.mappings) {
      const pages = this.#of.get(mapping);
      if (pages !== undefined) giveBack(pages);
    }
  }

  #pagesOf(mapping: Mapping): MappingPages {
    let pages = this.#of.get(mapping);
    if (pages === undefined) {
      const empty = () => new DirtyBitmap(mapping.pages);
      pages = { pending: empty(), taken: empty(), hasPending: false, hasTaken: false };
      this.#of.set(mapping, pages);
    }
    return pages;
  }
}

function swap(pages: MappingPages): void {
  const { pending, hasPending } = pages;
  pages.pending = pages.taken;
  pages.hasPending = pages.hasTaken;
  pages.taken = pending;
  pages.hasTaken = hasPending;
}

function giveBack(pages: MappingPages): void {
  if (!pages.hasTaken) return;
  if (!pages.hasPending) swap(pages);
  else {
    native().distributeBits(pages.taken.bytes, [pages.pending.bytes]);
    pages.hasTaken = false;
  }
}
