// Watches of one memory: who wants to hear of writes to which bytes, and the delivery of what the queue (shared/watch-ring.ts)
// brings. Thread: the memory's owner. Which pages are watched is told to MemoryOwner, which makes regions and slots follow; raw stores,
// which no span sees, come from watch-poll.ts.

import { HypervisorError, invalidType, messageOf, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { AddressRange, WatchDescriptor } from '../../../shared/memory-layout.ts';
import { hex, PAGE_SIZE, toU64, type U64 } from '../../../shared/units.ts';
import { createWatchRing, type WatchReport, WatchRing } from '../../../shared/watch-ring.ts';
import type { Writer } from '../../../shared/writer.ts';
import { endOf, type OwnedRegion } from './region-list.ts';
import { type RawPages, WatchPoll, type WatchPollHost } from './watch-poll.ts';

/** A write to a watched range: the bytes of the range that it stored. */
export interface WatchedWrite {
  readonly guestAddr: number;
  /** Bytes. */
  readonly size: number;
  readonly writer: Writer;
  /** The bytes as they were in memory just after the write, when they are 64 at most. A copy. */
  readonly data?: Uint8Array;
}

export type WatchCallback = (write: WatchedWrite) => void;

/** `memory.watch`'s third argument. */
export interface WatchOptions {
  /**
   * Milliseconds between two looks at what was stored past the API (raw views, Wasm, `fs.read`), while the dirty source is 'pagemap', which
   * sees it; false: never. Default 100.
   */
  readonly every?: number | false;
}

/** How often raw stores are looked for, unless a watch says otherwise; and the longest time that a timer can wait for. */
const EVERY_MS = 100;
const EVERY_MAX_MS = 2_147_483_647;

/** What a WatchList needs of its memory. */
export interface WatchHost extends Pick<WatchPollHost, 'tracker' | 'regions'> {
  /** The watched pages have changed: regions, slots and tables are to follow. Throws, and then nothing has changed. */
  follow(): void;
  /** Whom a report's code means. */
  whoIs(code: number): Writer;
}

/** An open watch. Closing it (or disposing of the memory) ends it. */
export class Watch {
  readonly guestAddr: number;
  readonly size: number;
  /** @internal Counts the memory's watches. */
  readonly number: number;
  /** @internal Milliseconds; undefined: never. */
  readonly everyMs: number | undefined;
  readonly #callback: WatchCallback;
  readonly #list: WatchList;
  readonly #lostBefore: number;
  readonly #since: number;

  /** @internal Use `memory.watch()`. */
  constructor(request: WatchRequest, number: number, list: WatchList) {
    this.number = number;
    this.guestAddr = request.start;
    this.size = request.end - request.start;
    this.everyMs = request.everyMs;
    this.#callback = request.callback;
    this.#list = list;
    this.#lostBefore = list.lost;
    this.#since = list.turn;
  }

  /**
   * Reports that were lost since the watch began, because this thread did not come to its event loop while 4096 others waited. All watches
   * of a memory share the queue: the lost ones may have been another's.
   */
  get lost(): number {
    return (this.#list.lost - this.#lostBefore) >>> 0;
  }

  /**
   * Ends the watch: no callback after it, what was reported and not delivered is dropped. The pages are as before when their last watch is
   * closed. Idempotent. @throws `ERR_SYSCALL` when a slot could not be changed back: no callback all the same, guests go on as with the watch
   */
  close(): void {
    this.#list.close(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal Tells the callback what of a write lies in the range. `turn`: the report's; what came before the watch is not its. */
  deliver(write: WatchedWrite, turn: number): void {
    if (((turn - this.#since) | 0) < 0) return;
    const start = Math.max(write.guestAddr, this.guestAddr);
    const end = Math.min(write.guestAddr + write.size, this.guestAddr + this.size);
    if (start >= end) return;
    const data = write.data?.subarray(start - write.guestAddr, end - write.guestAddr);
    const part = { guestAddr: start, size: end - start, writer: write.writer };
    try {
      const result: unknown = this.#callback(data === undefined ? part : { ...part, data: data.slice() });
      if (result instanceof Promise) result.catch(warn);
    } catch (error) {
      warn(error);
    }
  }
}

/** The arguments of `memory.watch`, checked. */
export interface WatchRequest extends AddressRange {
  readonly callback: WatchCallback;
  readonly everyMs: number | undefined;
}

export function checkWatch(
  range: { readonly guestAddr: U64; readonly size: U64 },
  callback: WatchCallback,
  options: WatchOptions,
): WatchRequest {
  if (typeof range !== 'object' || range === null) throw invalidType('range', 'an object', range);
  if (typeof callback !== 'function') throw invalidType('callback', 'a function', callback);
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['every'], 'watch');
  const { every = EVERY_MS } = options;
  if (every !== false && typeof every !== 'number') throw invalidType('every', 'a number or false', every);
  if (every !== false && !(every >= 1 && every <= EVERY_MAX_MS))
    throw outOfRange('every', 'from 1 to 2^31 - 1 milliseconds', every);
  const start = toU64(range.guestAddr, 'guestAddr');
  const size = toU64(range.size, 'size');
  if (size === 0) throw outOfRange('size', 'at least 1', size);
  if (start + size > Number.MAX_SAFE_INTEGER)
    throw new HypervisorError('ERR_MEMORY_RANGE', `${hex(start)} + ${hex(size)} is beyond 2^53 - 1`);
  return { start, end: start + size, callback, everyMs: every === false ? undefined : every };
}

/** Milliseconds that callbacks may take in a row before the event loop gets a turn: a guest that writes for ever must not keep it. */
const TURN_MS = 10;
/** Reports per round: no more than the queue holds. */
const REPORTS_PER_ROUND = 4096;

export class WatchList {
  readonly #host: WatchHost;
  readonly #watches = new Set<Watch>();
  /** Per watched region, WatchDescriptor.touched. */
  readonly #touched = new WeakMap<OwnedRegion, SharedArrayBuffer>();
  readonly #poll: WatchPoll;
  #ring: WatchRing | undefined;
  #opened = 0;
  #serving = false;

  constructor(host: WatchHost) {
    this.#host = host;
    this.#poll = new WatchPoll({
      tracker: host.tracker,
      regions: () => host.regions(),
      touched: region => {
        const buffer = this.#touched.get(region);
        return buffer === undefined ? undefined : new Uint8Array(buffer);
      },
      opened: () => this.#opened,
      tell: found => this.#tellRaw(found),
    });
  }

  /** Reports that found no room in the queue, wrapping around at 2^32. */
  get lost(): number {
    return this.#ring?.lost ?? 0;
  }

  /** Which report comes next. */
  get turn(): number {
    return this.#ring?.turn ?? 0;
  }

  get isEmpty(): boolean {
    return this.#watches.size === 0;
  }

  /** All watched ranges, ascending, merged. */
  get ranges(): AddressRange[] {
    return merge([...this.#watches].map(watch => ({ start: watch.guestAddr, end: watch.guestAddr + watch.size })));
  }

  /** The pages of them, likewise. */
  get pages(): AddressRange[] {
    return merge(
      this.ranges.map(({ start, end }) => ({
        start: start - (start % PAGE_SIZE),
        end: Math.ceil(end / PAGE_SIZE) * PAGE_SIZE,
      })),
    );
  }

  /** What the table says of a watched region. */
  describe(region: OwnedRegion): WatchDescriptor | undefined {
    const end = endOf(region);
    const ranges = this.ranges.flatMap(range => {
      const part = { start: Math.max(range.start, region.guestAddr), end: Math.min(range.end, end) };
      return part.start < part.end ? [part] : [];
    });
    if (this.#ring === undefined || ranges.length === 0) return undefined;
    const touched = this.#touched.get(region) ?? new SharedArrayBuffer(region.size / PAGE_SIZE);
    this.#touched.set(region, touched);
    return { ring: this.#ring.buffer, ranges, touched };
  }

  /** The range must be mapped without a gap, which the caller has checked. */
  open(request: WatchRequest): Watch {
    this.#ring ??= new WatchRing(createWatchRing());
    if (request.everyMs !== undefined) this.#poll.collect();
    this.#opened += 1;
    const watch = new Watch(request, this.#opened, this);
    this.#watches.add(watch);
    try {
      this.#host.follow();
    } catch (error) {
      this.#watches.delete(watch);
      throw error;
    }
    this.#poll.setRhythm(this.#rhythm);
    if (!this.#serving) void this.#serve(this.#ring);
    return watch;
  }

  close(watch: Watch): void {
    if (!this.#watches.delete(watch)) return;
    this.#poll.setRhythm(this.#rhythm);
    if (this.isEmpty) this.#ring?.ring();
    this.#host.follow();
  }

  /** Calls `change`, which changes what tracks dirty pages: raw stores before it are found, and those after it. @throws as `change`, `ERR_SYSCALL` */
  changeSource(change: () => void): void {
    const rhythm = this.#rhythm;
    if (rhythm !== undefined) this.#poll.collect();
    change();
    if (rhythm !== undefined) this.#poll.follow();
  }

  /** The memory ends. */
  closeAll(): void {
    this.#watches.clear();
    this.#poll.setRhythm(this.#rhythm);
    this.#ring?.ring();
  }

  /** Reports in a row, as the queue has them: for each writer in the order of its writes. */
  #deliver(ring: WatchRing, until = Number.POSITIVE_INFINITY): void {
    for (let left = REPORTS_PER_ROUND; left > 0; left--) {
      const report = ring.take();
      if (report === undefined) return;
      this.#tell(fromReport(report, this.#host.whoIs(report.writer)), report.turn, () => true);
      if (performance.now() >= until) return;
    }
  }

  /** Tells every watch that the write concerns. A callback may open and close watches. */
  #tell(write: WatchedWrite, turn: number, concerns: (watch: Watch) => boolean): void {
    for (const watch of [...this.#watches]) if (this.#watches.has(watch) && concerns(watch)) watch.deliver(write, turn);
  }

  /** What was reported first, then what nobody has reported. */
  #tellRaw(found: readonly RawPages[]): void {
    if (this.#ring !== undefined) this.#deliver(this.#ring);
    for (const { start, end, opened } of found) {
      const write: WatchedWrite = { guestAddr: start, size: end - start, writer: { kind: 'unknown' } };
      this.#tell(write, this.turn, watch => watch.everyMs !== undefined && watch.number <= opened);
    }
  }

  /** As often as the most curious watch asks for. */
  get #rhythm(): number | undefined {
    const wanted = [...this.#watches].flatMap(({ everyMs }) => (everyMs === undefined ? [] : [everyMs]));
    return wanted.length === 0 ? undefined : Math.min(...wanted);
  }

  /** Runs while there are watches. Never in the middle of a write: callbacks come from the event loop. */
  async #serve(ring: WatchRing): Promise<void> {
    this.#serving = true;
    await Promise.resolve();
    let until = performance.now() + TURN_MS;
    while (!this.isEmpty) {
      const { bell } = ring;
      this.#deliver(ring, until);
      // A report between the look at the bell and here ends the wait at once.
      const isLate = performance.now() >= until;
      const wait = isLate ? undefined : ring.wait(bell);
      if (wait?.async === false) continue;
      await (wait?.value ?? new Promise(resolve => setTimeout(resolve, 0)));
      until = performance.now() + TURN_MS;
    }
    this.#serving = false;
  }
}

function fromReport({ guestAddr, size, data }: WatchReport, writer: Writer): WatchedWrite {
  return data === undefined ? { guestAddr, size, writer } : { guestAddr, size, writer, data };
}

/**
 * A callback failed. What a guest writes must not end the process: a warning (`process.on('warning')`, by default a line on standard error)
 * tells of it, and other callbacks are called as ever.
 */
function warn(error: unknown): void {
  process.emitWarning(
    new HypervisorError('ERR_WATCH_CALLBACK', `the callback of a watch failed: ${messageOf(error)}`, { cause: error }),
  );
}

/** Ascending, and merged where they overlap or touch. */
function merge(ranges: readonly AddressRange[]): AddressRange[] {
  const merged: { start: number; end: number }[] = [];
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}
