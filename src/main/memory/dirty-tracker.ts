// Dirty tracking of one memory: which sources record, and who is told. Thread: the memory's owner.
//
// The life of a dirty page: a source records it (dirty-source.ts) → collect() moves it into its mapping's *fresh* bitmap → it is handed
// to every consumer's *pending* (cursor-pages.ts) → a harvest of that consumer takes pending → commit() forgets it, abort() puts it
// back. No error path drops a bit: collect() may fail halfway, and what it had moved by then waits in *fresh*.
//
// Turning tracking off and on loses nothing that was recorded before: it stays pending and is reported by the next harvest after
// tracking is on again. Writes made *while* it is off are not recorded.

import { native } from '../../../native/index.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import type { Writer } from '../../../shared/writer.ts';
import { CursorPages, type RegionSet } from './cursor-pages.ts';
import { DirtyCursor } from './dirty-cursor.ts';
import { DirtyHarvest, RangeBuffer } from './dirty-harvest.ts';
import type { Selection } from './dirty-selection.ts';
import type { DirtySource, DirtySourceName } from './dirty-source.ts';
import type { OwnedRegion } from './region-list.ts';

/** Whether consumers begin with nothing, or with every page. */
export type Initially = 'clean' | 'dirty';

/** How recorded pages are reported, whatever the sources. Undefined: as it is; at first clean, without attribution, by pages. */
export interface Reporting {
  readonly initially?: Initially | undefined;
  readonly attribution?: boolean | undefined;
  readonly granularity?: 'page' | 'huge' | undefined;
}

/** Each is told of each dirty page: so many are rather forgotten than used. */
const CURSORS_MAX = 4000;

/** One who is told of every dirty page. */
class Consumer {
  readonly name: string | undefined;
  readonly pages = new CursorPages();
  readonly buffer = new RangeBuffer();
  open: DirtyHarvest | undefined;

  constructor(name: string | undefined) {
    this.name = name;
  }
}

export class DirtyTracker {
  readonly #regions: () => readonly OwnedRegion[];
  readonly #writerOf: (code: number) => Writer;
  /** Undefined: tracking is off. */
  #selection: Selection | undefined;
  // Chosen, but not recording: their stop() had succeeded when another's failed. The next collect() starts them.
  readonly #resting = new Set<DirtySource>();
  readonly #default = new Consumer(undefined);
  readonly #consumers = new Set([this.#default]);
  #attribution = false;
  #granularity: 'page' | 'huge' = 'page';
  #isClosed = false;
  readonly #onClose = new Set<() => void>();
  #set: RegionSet = { regions: [], mappings: [] };
  /** Reused by each distribution. */
  readonly #targets: Uint8Array[] = [];

  /** `regions`: the present ones, in a list that is replaced and not changed. `writerOf`: what a writer's code means. */
  constructor(regions: () => readonly OwnedRegion[], writerOf: (code: number) => Writer) {
    this.#regions = regions;
    this.#writerOf = writerOf;
  }

  /** What is in use; undefined while tracking is off. */
  get source(): DirtySourceName | undefined {
    return this.#selection?.name;
  }

  // ── sources ──

  /**
   * Makes `selection` the sources that record. Those that are new are started before others are stopped, so that nothing is lost
   * between the two. Nothing has changed when it throws.
   */
  enable(selection: Selection, reporting: Reporting): void {
    const { regions } = this.#current();
    const before = this.#sources;
    const fresh = selection.sources.filter(source => !before.includes(source));
    const started: DirtySource[] = [];
    try {
      for (const source of fresh) {
        source.start(regions);
        started.push(source);
      }
      this.#stop(before.filter(source => !selection.sources.includes(source)));
    } catch (error) {
      for (const source of started.reverse()) attempt(() => source.stop(regions));
      for (const source of fresh) source.close();
      throw error;
    }
    this.#selection = selection;
    this.report(reporting);
  }

  /** How pages are reported from now on. */
  report({ initially, attribution, granularity }: Reporting): void {
    this.#attribution = attribution ?? this.#attribution;
    this.#granularity = granularity ?? this.#granularity;
    for (const mapping of this.#current().mappings) mapping.setAttribution(this.#attribution);
    if (initially === 'dirty') this.#addEverything();
  }

  /** Stops recording; what was recorded is kept. Goes on as before when it throws. */
  disable(): void {
    this.#stop(this.#sources);
    this.#selection = undefined;
    this.#attribution = false;
    this.#granularity = 'page';
  }

  /** `region` is about to be added. Nothing has changed when it throws. */
  admit(region: OwnedRegion): void {
    const admitted: DirtySource[] = [];
    try {
      for (const source of this.#recording()) {
        source.admit(region);
        admitted.push(source);
      }
    } catch (error) {
      for (const source of admitted.reverse()) source.dismiss(region, this.#regions());
      throw error;
    }
    region.mapping.setAttribution(this.#attribution);
  }

  /** `region` was removed, or was admitted and could not be added. */
  dismiss(region: OwnedRegion): void {
    // Which lets go of the region's mapping here too.
    const { regions } = this.#current();
    for (const source of this.#recording()) source.dismiss(region, regions);
  }

  // ── consumers ──

  /** The memory's own consumer: what is nobody's cursor. */
  harvest(): DirtyHarvest {
    return this.#harvest(this.#default);
  }

  /** A consumer from now on: of what was written before, it sees nothing, or with `initially` 'dirty' that every page is to be looked at. */
  cursor(name: string, initially: Initially = 'clean'): DirtyCursor {
    for (const consumer of this.#consumers) {
      if (consumer.name !== name) continue;
      throw new HypervisorError('ERR_CURSOR_EXISTS', `a dirty cursor named '${name}' is open: dispose it first`);
    }
    return this.#open(name, name, initially);
  }

  /** A cursor without a name of its own; any number of them. */
  anonymousCursor(label: string): DirtyCursor {
    return this.#open(undefined, label, 'clean');
  }

  /** Calls `listener` once when the memory is disposed, at once if it was; returns what takes the listener back. */
  onClose(listener: () => void): () => void {
    if (this.#isClosed) listener();
    else this.#onClose.add(listener);
    return () => this.#onClose.delete(listener);
  }

  /** For good. Harvests that are open can still be looked at and ended. */
  close(): void {
    for (const source of this.#sources) source.close();
    this.#selection = undefined;
    this.#set = { regions: [], mappings: [] };
    this.#isClosed = true;
    this.#consumers.clear();
    for (const listener of this.#onClose) listener();
    this.#onClose.clear();
  }

  #open(name: string | undefined, label: string, initially: Initially): DirtyCursor {
    this.#refuseClosed();
    if (this.#consumers.size > CURSORS_MAX) {
      throw new HypervisorError('ERR_STATE', `${CURSORS_MAX} dirty cursors are open: dispose those that are not used`);
    }
    // What was written up to here is everybody else's.
    if (this.#selection !== undefined) this.#collect();
    const consumer = new Consumer(name);
    if (initially === 'dirty') consumer.pages.addEverything();
    this.#consumers.add(consumer);
    return new DirtyCursor(label, {
      harvest: () => this.#harvest(consumer),
      close: () => {
        this.#consumers.delete(consumer);
        consumer.open?.[Symbol.dispose]();
      },
    });
  }

  #harvest(consumer: Consumer): DirtyHarvest {
    if (!this.#consumers.has(consumer)) {
      this.#refuseClosed();
      throw new HypervisorError('ERR_DISPOSED', `the dirty cursor '${consumer.name ?? ''}' was disposed`);
    }
    if (this.#selection === undefined) {
      throw new HypervisorError('ERR_DIRTY_TRACKING_OFF', 'dirty tracking is off: call enableDirtyTracking() first');
    }
    if (consumer.open !== undefined) {
      throw new HypervisorError('ERR_HARVEST_OPEN', 'a harvest is open: commit() or abort() it first');
    }
    const set = this.#collect();
    const { pages, buffer } = consumer;
    pages.take(set);
    const onEnd = () => {
      consumer.open = undefined;
    };
    consumer.open = new DirtyHarvest({ set, pages, buffer, writerOf: this.#writerOf, onEnd });
    return consumer.open;
  }

  #refuseClosed(): void {
    if (this.#isClosed) throw new HypervisorError('ERR_DISPOSED', 'the memory was disposed');
  }

  // ── collecting ──

  get #sources(): readonly DirtySource[] {
    return this.#selection?.sources ?? [];
  }

  #recording(): DirtySource[] {
    return this.#sources.filter(source => !this.#resting.has(source));
  }

  /** Moves what every source recorded to every consumer. */
  #collect(): RegionSet {
    const set = this.#current();
    for (const source of this.#resting) {
      source.start(set.regions);
      this.#resting.delete(source);
      // Nobody knows what was written while it rested.
      this.#addEverything();
    }
    for (const source of this.#sources) source.collect(set.regions);
    this.#distribute(set);
    return set;
  }

  /** Every consumer is told of every page next. */
  #addEverything(): void {
    for (const { pages } of this.#consumers) pages.addEverything();
  }

  #distribute(set: RegionSet): void {
    for (const mapping of set.mappings) {
      if (!mapping.hasFresh) continue;
      if (this.#granularity === 'huge') mapping.widenFresh();
      if (this.#consumers.size === 1 && this.#default.pages.adoptFresh(mapping)) continue;
      this.#targets.length = 0;
      for (const { pages } of this.#consumers) this.#targets.push(pages.pendingOf(mapping));
      native().distributeBits(mapping.fresh.bytes, this.#targets);
      mapping.hasFresh = false;
    }
  }

  /** Stops sources of the present selection; when one fails, the selection stays, and all of it records again with the next collect(). */
  #stop(sources: readonly DirtySource[]): void {
    const set = this.#current();
    const stopped: DirtySource[] = [];
    try {
      for (const source of sources) {
        if (!this.#resting.has(source)) source.stop(set.regions);
        stopped.push(source);
      }
    } catch (error) {
      for (const source of stopped) this.#resting.add(source);
      throw error;
    }
    this.#distribute(set);
    for (const source of stopped) {
      // As with one that begins again: nobody knows what was written while it rested.
      if (this.#resting.delete(source)) this.#addEverything();
      source.close();
    }
  }

  /** Made anew when the list of regions has changed. */
  #current(): RegionSet {
    const regions = this.#regions();
    if (regions !== this.#set.regions) {
      this.#set = { regions, mappings: [...new Set(regions.map(region => region.mapping))] };
    }
    return this.#set;
  }
}

/** A step of a rollback: the first error is the one to report. */
function attempt(step: () => void): void {
  try {
    step();
  } catch {
    // What could not be undone records more than is asked for, and is closed next.
  }
}
