// Raw stores to watched pages (views, Wasm, `fs.read`): no span sees them, the kernel's write tracking does. While the dirty source is
// 'pagemap', its pages are looked at every so often, and those that were written and that nobody has reported are told of. Thread: the
// memory's owner.

import type { AddressRange } from '../../../shared/memory-layout.ts';
import { PAGE_SIZE } from '../../../shared/units.ts';
import type { DirtyCursor } from './dirty-cursor.ts';
import type { DirtyTracker } from './dirty-tracker.ts';
import { endOf, type OwnedRegion } from './region-list.ts';

/** Pages that were written past the API; and how many watches had been opened when they were found: those that come later are not told. */
export interface RawPages extends AddressRange {
  readonly opened: number;
}

export interface WatchPollHost {
  readonly tracker: Pick<DirtyTracker, 'source' | 'anonymousCursor'>;
  /** The memory's regions. */
  regions(): readonly OwnedRegion[];
  /** One byte per page of a watched region: 1 = written through the API, or for the guest, since it was last taken. */
  touched(region: OwnedRegion): Uint8Array | undefined;
  /** Watches opened so far. */
  opened(): number;
  /** Tells of what was found. */
  tell(found: readonly RawPages[]): void;
}

export class WatchPoll {
  readonly #host: WatchPollHost;
  #cursor: DirtyCursor | undefined;
  #timer: NodeJS.Timeout | undefined;
  #everyMs: number | undefined;
  #found: RawPages[] = [];

  constructor(host: WatchPollHost) {
    this.#host = host;
  }

  /** Looks every `everyMs` from now on; undefined: no more. */
  setRhythm(everyMs: number | undefined): void {
    // A rhythm that stays is not begun anew: watches that come and go faster than it would put off every look.
    if (everyMs === this.#everyMs) return;
    this.#everyMs = everyMs;
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (everyMs === undefined) {
      this.#drop();
      this.#found = [];
    } else this.#timer = setInterval(() => this.#look(), everyMs).unref();
  }

  /** The dirty source has changed: what is stored from here on is seen, if the new one sees it. */
  follow(): void {
    try {
      this.collect();
    } catch {
      // The kernel refused. Nothing is lost, the next look finds it.
    }
  }

  /**
   * Fetches what was written up to here, to be told with the next look: a watch that begins now is told of what comes after, and a source
   * that ends now has told everything.
   * @throws `ERR_SYSCALL`, and nothing is lost
   */
  collect(): void {
    const { tracker } = this.#host;
    if (tracker.source !== 'pagemap') {
      this.#drop();
      return;
    }
    if (this.#cursor === undefined) {
      this.#cursor = tracker.anonymousCursor('watch');
      this.#takeTouched();
      return;
    }
    using harvest = this.#cursor.harvest();
    const pairs = harvest.rangeArray();
    for (const region of this.#host.regions()) {
      const touched = region.watched ? this.#host.touched(region) : undefined;
      if (touched === undefined) continue;
      for (let index = 0; index < pairs.length; index += 2) {
        // SAFETY: pairs come in twos.
        const start = pairs[index] as number;
        const end = start + (pairs[index + 1] as number);
        this.#note(region, touched, Math.max(start, region.guestAddr), Math.min(end, endOf(region)));
      }
    }
    harvest.commit();
  }

  #look(): void {
    this.follow();
    const found = this.#found;
    this.#found = [];
    if (found.length > 0) this.#host.tell(found);
  }

  /** The pages of [start, end) that nobody has reported a write to. */
  #note(region: OwnedRegion, touched: Uint8Array, start: number, end: number): void {
    const opened = this.#host.opened();
    for (let at = start; at < end; at += PAGE_SIZE) {
      // A store that was reported marks its page after it: a page that is written and not touched has another writer. (One that was stored to
      // and is not touched yet, in this very moment, is told of twice.)
      if (Atomics.exchange(touched, (at - region.guestAddr) / PAGE_SIZE, 0) !== 0) continue;
      const last = this.#found.at(-1);
      if (last?.end === at && last.opened === opened)
        this.#found[this.#found.length - 1] = { ...last, end: at + PAGE_SIZE };
      else this.#found.push({ start: at, end: at + PAGE_SIZE, opened });
    }
  }

  #takeTouched(): void {
    for (const region of this.#host.regions()) if (region.watched) this.#host.touched(region)?.fill(0);
  }

  #drop(): void {
    this.#cursor?.[Symbol.dispose]();
    this.#cursor = undefined;
  }
}
