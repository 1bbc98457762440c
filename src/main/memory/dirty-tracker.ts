// Dirty tracking of one memory: sources, the transaction, and what a harvest shows. Thread: the memory's owner.
//
// The life of a dirty page: a source records it (KVM's log: the guest's writes; mark bytes: writes through the API) →
// collect() moves it into its mapping's *pending* bitmap → harvest() takes pending → commit() forgets it, abort() puts it back.
// No error path drops a bit: collect() may fail halfway, and what it had moved by then is pending.
//
// Turning tracking off and on loses nothing that was recorded before: it stays pending and is reported by the next harvest after
// tracking is on again. Writes made *while* it is off are not recorded.

import type { DirtyBitmap } from '../../../shared/dirty-bitmap.ts';
import { HypervisorError, invalidType } from '../../../shared/errors.ts';
import { PAGE_SIZE, type U64 } from '../../../shared/units.ts';
import { trace } from '../trace.ts';
import { checkPlace } from './options.ts';
import { endOf, type OwnedRegion, placeText } from './region-list.ts';

const onCommit = trace('memory.harvest.commit');
const onAbort = trace('memory.harvest.abort');

/** Something that records which pages were written. */
export interface DirtySource {
  /** Starts recording for all regions, or throws and records for none. */
  start(regions: readonly OwnedRegion[]): void;
  /** Moves what was recorded into *pending*, then stops; or throws and goes on recording. */
  stop(regions: readonly OwnedRegion[]): void;
  /** Moves what was recorded since the last call into *pending*. May throw halfway, but loses nothing. */
  collect(regions: readonly OwnedRegion[]): void;
}

/** Dirty guest memory: `size` bytes (whole pages) from `guestAddr` on. */
export interface DirtyPageInfo {
  readonly guestAddr: number;
  readonly size: number;
}

/** Writes through the API, on every thread: the mark bytes. They are always set; only their use is turned on and off. */
export class MarkSource implements DirtySource {
  start(regions: readonly OwnedRegion[]): void {
    for (const mapping of mappingsOf(regions)) mapping.dropMarks();
  }

  stop(regions: readonly OwnedRegion[]): void {
    this.collect(regions);
  }

  collect(regions: readonly OwnedRegion[]): void {
    for (const mapping of mappingsOf(regions)) mapping.collectMarks();
  }
}

export class DirtyTracker {
  readonly #sources: readonly DirtySource[];
  #on = false;
  #open: DirtyHarvest | undefined;

  /** `sources` together see every write that is to be reported. Those that can fail to start come first. */
  constructor(sources: readonly DirtySource[]) {
    this.#sources = sources;
  }

  get on(): boolean {
    return this.#on;
  }

  enable(regions: readonly OwnedRegion[]): void {
    if (this.#on) return;
    const started: DirtySource[] = [];
    try {
      for (const source of this.#sources) {
        source.start(regions);
        started.push(source);
      }
    } catch (error) {
      for (const source of started.reverse()) source.stop(regions);
      throw error;
    }
    this.#on = true;
  }

  disable(regions: readonly OwnedRegion[]): void {
    if (!this.#on) return;
    const stopped: DirtySource[] = [];
    try {
      for (const source of this.#sources) {
        source.stop(regions);
        stopped.push(source);
      }
    } catch (error) {
      for (const source of stopped.reverse()) source.start(regions);
      throw error;
    }
    this.#on = false;
  }

  harvest(regions: readonly OwnedRegion[]): DirtyHarvest {
    if (!this.#on) {
      throw new HypervisorError('ERR_DIRTY_TRACKING_OFF', 'dirty tracking is off: call enableDirtyTracking() first');
    }
    if (this.#open !== undefined) {
      throw new HypervisorError('ERR_HARVEST_OPEN', 'a harvest is open: commit() or abort() it first');
    }
    for (const source of this.#sources) source.collect(regions);
    const taken = new Map([...mappingsOf(regions)].map(mapping => [mapping, mapping.take()]));
    const parts = regions.map(region => ({ region, taken: taken.get(region.mapping) as DirtyBitmap }));
    const harvest = new DirtyHarvest(parts, committed => {
      this.#open = undefined;
      for (const part of committed ? parts : []) {
        part.taken.removeRange(part.region.offset / PAGE_SIZE, part.region.size / PAGE_SIZE);
      }
      // What a commit leaves are dirty pages that no region showed; they wait until one does.
      for (const mapping of taken.keys()) mapping.giveBack();
    });
    this.#open = harvest;
    return harvest;
  }
}

interface Part {
  readonly region: OwnedRegion;
  readonly taken: DirtyBitmap;
}

/**
 * The pages written since the last committed harvest, as they were when it began. Begin, look, replicate, then `commit()`;
 * or `abort()`, and every page is reported again. Leaving a `using` block without a commit aborts. One is open at a time.
 *
 * Read a page's contents only after the harvest began: then no write is missed.
 */
export class DirtyHarvest {
  readonly #parts: readonly Part[];
  #end: ((committed: boolean) => void) | undefined;
  #pageCount: number | undefined;

  /** @internal Use `memory.harvest()`. */
  constructor(parts: readonly Part[], end: (committed: boolean) => void) {
    this.#parts = parts;
    this.#end = end;
  }

  /** Number of dirty pages of 4096 bytes. @throws `ERR_HARVEST_ENDED` */
  get pageCount(): number {
    this.#check();
    this.#pageCount ??= this.#parts.reduce(
      (sum, { region, taken }) => sum + taken.count(region.offset / PAGE_SIZE, region.size / PAGE_SIZE),
      0,
    );
    return this.#pageCount;
  }

  /** Dirty memory, ascending and merged, across regions that are neighbours too. @throws `ERR_HARVEST_ENDED` */
  ranges(): DirtyPageInfo[] {
    this.#check();
    const ranges: { guestAddr: number; size: number }[] = [];
    let last = { guestAddr: 0, size: 0 };
    let end = -1;
    for (const { region, taken } of this.#parts) {
      const firstPage = region.offset / PAGE_SIZE;
      taken.eachRun(firstPage, region.size / PAGE_SIZE, (page, pages) => {
        const guestAddr = region.guestAddr + (page - firstPage) * PAGE_SIZE;
        const size = pages * PAGE_SIZE;
        if (guestAddr === end) last.size += size;
        else {
          last = { guestAddr, size };
          ranges.push(last);
        }
        end = guestAddr + size;
      });
    }
    return ranges;
  }

  /**
   * One bit per page of `region` (as `memory.regions()` returned it, or any page-aligned part of one), least significant bit
   * first, ceil(pages / 64) * 8 bytes; a copy.
   * @throws `ERR_HARVEST_ENDED`; `ERR_MEMORY_UNMAPPED` when no region held it when the harvest began; `ERR_MEMORY_ALIGNMENT`,
   *   `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`
   */
  bitmap(range: { readonly guestAddr: U64; readonly size: U64 }): Uint8Array {
    this.#check();
    if (typeof range !== 'object' || range === null) throw invalidType('region', 'an object', range);
    const { at: guestAddr, bytes: size } = checkPlace(range.guestAddr, range.size);
    const region = { guestAddr, size };
    const part = this.#parts.find(
      each => each.region.guestAddr <= region.guestAddr && endOf(region) <= endOf(each.region),
    );
    if (part === undefined) {
      throw new HypervisorError('ERR_MEMORY_UNMAPPED', `no region held ${placeText(region)} when the harvest began`);
    }
    const first = (part.region.offset + (region.guestAddr - part.region.guestAddr)) / PAGE_SIZE;
    return part.taken.slice(first, region.size / PAGE_SIZE).bytes;
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

  /** Aborts, unless it has ended. */
  [Symbol.dispose](): void {
    if (this.#end !== undefined) this.abort();
  }

  #check(): void {
    if (this.#end === undefined)
      throw new HypervisorError('ERR_HARVEST_ENDED', 'this harvest was committed or aborted');
  }

  #finish(committed: boolean): void {
    this.#check();
    const end = this.#end;
    this.#end = undefined;
    end?.(committed);
  }
}

function mappingsOf(regions: readonly OwnedRegion[]): Set<OwnedRegion['mapping']> {
  return new Set(regions.map(region => region.mapping));
}
