// GuestMemory: every access to guest RAM by guest physical address. Runs on every thread; pure: what needs the addon or
// node: is handed in as a MemoryPlatform. The owner (KvmMemory, src/main/memory) extends this class; an attached thread uses it
// as it is, with a table that follows the owner's.
//
// Hot path: is the address within the span of the last access, and is the table still the current one? Then the access is done in
// place. Everything else (bigint addresses, other spans, crossing, errors) is the slow path, which checks the whole range before
// the first byte moves.
//
// Tearing: aligned scalars of ≤ 8 bytes are single accesses, `atomics` are atomic, everything else (structs, arrays, bulk
// copies, misaligned scalars) may be seen half-written by other threads and by vCPUs.

import { HypervisorError, invalidType, outOfRange } from './errors.ts';
import type { Layout } from './layout.ts';
import { MemoryAtomics } from './memory-atomics.ts';
import {
  DISPOSED,
  GENERATION,
  HEADER_WORDS,
  type MemoryHandle,
  type RegionDescriptor,
  type WasmMemory,
} from './memory-layout.ts';
import { EMPTY_TABLE, RegionTable } from './region-table.ts';
import { NO_SPAN, type Span, SUMMARY_SHIFT } from './span.ts';
import { type PostedTable, type ReceiveMessage, TableFeed } from './table-feed.ts';
import { hex, KIB, PAGE_SHIFT, toU64, type U64 } from './units.ts';
import { takeWriterNumber } from './writer-numbers.ts';

/** What GuestMemory needs of the platform: `native()` has fill and copy, `node:worker_threads` the third. */
export interface MemoryPlatform {
  readonly fill: (view: Uint8Array | DataView, offset: number, length: number, value: number) => void;
  readonly copy: (
    to: Uint8Array | DataView,
    toOffset: number,
    from: Uint8Array | DataView,
    fromOffset: number,
    length: number,
  ) => void;
  /** `receiveMessageOnPort`. */
  readonly receive: ReceiveMessage;
  /** Node's number of the calling thread. */
  readonly threadId: number;
}

/** One region of guest RAM, as `regions()` returns it: a copy, not a live object. */
export type MemoryRegion = Omit<RegionDescriptor, 'marks' | 'summary' | 'watch' | 'guestReadOnly' | 'reclaim'>;

// Up to LOOP_BYTES a loop beats a call of a method, which costs a fixed 50 to 100 ns; from NATIVE_COPY_BYTES on the C
// library's memmove beats TypedArray.prototype.set on shared memory. (`fill` on shared memory never wins.)
const LOOP_BYTES = 32;
const NATIVE_COPY_BYTES = 8 * KIB;
const few = new Uint8Array(LOOP_BYTES);

/** Closes the channel of an attached memory that was forgotten. */
const forgotten = new FinalizationRegistry<TableFeed>(feed => feed.close());

export class GuestMemory {
  // The last-span cache, and the generation that it belongs to.
  #last: Span = NO_SPAN;
  #generation = 0;
  readonly #words: Int32Array;
  #table: RegionTable = EMPTY_TABLE;
  #disposed = false;
  readonly #platform: MemoryPlatform;
  readonly #feed: TableFeed | undefined;
  readonly #atomics: MemoryAtomics;
  /** What this thread marks pages with. */
  readonly #writer: number;

  /** @internal Use `GuestMemory.attach`, or KvmMemory. */
  constructor(header: SharedArrayBuffer, platform: MemoryPlatform, handle?: MemoryHandle, vcpu?: number) {
    this.#words = new Int32Array(header);
    this.#platform = platform;
    this.#writer = takeWriterNumber(this.#words, vcpu === undefined ? platform : { vcpu });
    this.#atomics = new MemoryAtomics((addr, size, write) => this.#span(addr, size, write));
    if (handle === undefined) return;
    if (Atomics.load(this.#words, DISPOSED) !== 0) throw disposed();
    const feed = new TableFeed(handle, this.#words, platform.receive);
    this.#feed = feed;
    this.#accept(feed.refresh());
    // The channel lives as long as it is open: it must not hold the memory.
    const weak = new WeakRef(this);
    feed.onTable(table => {
      const memory = weak.deref();
      if (memory !== undefined) memory.#accept(table);
    });
    forgotten.register(this, feed, this);
  }

  /**
   * The memory that `handle` stands for, on any thread of the process: every accessor, no owner's methods. `vcpu`: whose writes these
   * are, on a vCPU's thread; otherwise they are the thread's.
   * @throws HypervisorError `ERR_DISPOSED`; `ERR_TIMEOUT` when an old handle's owner does not answer within 1 s.
   */
  static attach(handle: MemoryHandle, platform: MemoryPlatform, vcpu?: number): GuestMemory {
    checkHandle(handle);
    return new GuestMemory(handle.header, platform, handle, vcpu);
  }

  /**
   * @internal Takes over a changed table. For threads that don't come to their event loop for long: each change leaves a message,
   * and a guest that makes a device change memory again and again would fill ours with them.
   */
  follow(): void {
    if (!this.#disposed && Atomics.load(this.#words, DISPOSED) === 0) this.#refresh();
  }

  /**
   * @internal Carries out a guest's store of at most 8 bytes, which KVM reported instead of doing it: the page is watched, or was when the guest
   * came to it. False where the guest may not write: the store is nobody's, or a device's.
   */
  storeForGuest(addr: number, run: DataView, dataAt: number, size: number): boolean {
    if (!this.#isCurrent()) this.#refresh();
    const span = this.#table.near(addr);
    const { region } = span;
    if (span.readOnly || region.guestReadOnly === true || region.slot === undefined || addr + size > span.end)
      return false;
    span.storeBytes(addr - span.start, run, dataAt, size);
    return true;
  }

  /** @internal Is anything watched, as far as this thread knows? */
  get isWatched(): boolean {
    return this.#table.regions.some(region => region.watch !== undefined);
  }

  /** @internal The owner's way to change the table. */
  protected install(regions: readonly RegionDescriptor[], generation: number): void {
    this.#table = new RegionTable(regions, this.#writer, this.#table);
    this.#generation = generation;
    this.#last = NO_SPAN;
  }

  /** @internal */
  protected get table(): RegionTable {
    this.#refresh();
    return this.#table;
  }

  protected get disposed(): boolean {
    return this.#disposed;
  }

  /** Bytes of all regions together. */
  size(): number {
    return this.table.size;
  }

  /** The guest physical address after the last region's last byte: what `dumpAll` needs room for. */
  addressLimit(): number {
    return this.table.limit;
  }

  /** All regions, ascending by guest address. */
  regions(): MemoryRegion[] {
    return this.table.regions.map(
      ({ marks: _marks, summary: _summary, watch: _watch, guestReadOnly: _guest, reclaim: _reclaim, ...region }) =>
        region,
    );
  }

  /** The host address of the byte at `addr`. @throws `ERR_MEMORY_UNMAPPED`, `ERR_DISPOSED` */
  getHostAddress(addr: U64): bigint {
    const { region } = this.#span(addr, 1, false);
    return region.hostAddr + BigInt(Number(addr) - region.guestAddr);
  }

  /** The shared WebAssembly.Memory that the lowest region with backing 'wasm' is. */
  get wasmMemory(): WasmMemory | undefined {
    return this.table.regions.find(region => region.wasm !== undefined)?.wasm;
  }

  /**
   * Decodes the value at `addr`, which may have any alignment. Aligned scalars are read in one access; anything else may
   * tear.
   * @throws `ERR_MEMORY_UNMAPPED`, `ERR_MEMORY_RANGE` (addr + size beyond 2^53 - 1), `ERR_DISPOSED`, `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`
   */
  readObj<T, W>(addr: U64, type: Layout<T, W>): T {
    return this.load(addr, type);
  }

  /**
   * Checks the whole value, then encodes it at `addr`. Aligned scalars are written in one access; anything else may tear.
   * @throws as `readObj`; `ERR_MEMORY_READ_ONLY`; TypeError/RangeError naming the path of a field that cannot be stored
   */
  writeObj<T, W>(addr: U64, type: Layout<T, W>, value: W): void {
    this.store(addr, type, value);
  }

  // What readObj and writeObj do, under names of their own: a class that overrides those calls these through `this`, which V8
  // resolves when it compiles; a call through `super` is looked up each time.

  /** @internal */
  protected load<T, W>(addr: U64, type: Layout<T, W>): T {
    if (typeof addr === 'number' && this.#isCurrent()) {
      let span = this.#last;
      let at = addr - span.start;
      // What is below the span, far above it, a fraction or NaN does not equal itself as a uint32. A `type` that is no layout has
      // no size: every comparison with it is false, and the slow path refuses it.
      if (at >>> 0 !== at || !(at <= span.size - type?.size)) {
        span = this.#seek(addr, type?.size);
        at = addr - span.start;
      }
      if (span !== NO_SPAN) return span.load(at >>> 0, type);
    }
    return this.#loadSlowly(addr, type);
  }

  /** @internal */
  protected store<T, W>(addr: U64, type: Layout<T, W>, value: W): void {
    if (typeof addr === 'number' && this.#isCurrent()) {
      let span = this.#last;
      let at = addr - span.start;
      if (at >>> 0 !== at || !(at <= span.size - type?.size)) {
        span = this.#seek(addr, type?.size);
        at = addr - span.start;
      }
      // NO_SPAN is read-only.
      if (!span.readOnly) {
        span.store(at >>> 0, type, value);
        return;
      }
    }
    this.#storeSlowly(addr, type, value);
  }

  /**
   * Fills `into` with the bytes at `addr`; crosses adjacent regions. An empty `into` reads nothing. May tear.
   * @throws `ERR_MEMORY_UNMAPPED`, `ERR_MEMORY_RANGE`, `ERR_DISPOSED`, `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`
   */
  read(addr: U64, into: Uint8Array): void {
    const span = this.#last;
    checkBytes(into, 'into');
    const length = into.byteLength;
    if (
      typeof addr === 'number' &&
      addr >= span.start &&
      addr + length <= span.end &&
      this.#words[GENERATION] === this.#generation &&
      Number.isSafeInteger(addr)
    ) {
      this.#move(into, 0, span.bytes, addr - span.start, length);
      return;
    }
    const at = this.#range(addr, length);
    const spans = this.#cover(at, length, false);
    // Within one span the copy allows for overlap. Across spans, `into` may lie in a part that is still to be read.
    const target = aliases(spans, into) ? new Uint8Array(length) : into;
    eachPart(spans, at, length, (part, offset, done, count) => this.#move(target, done, part.bytes, offset, count));
    if (target !== into) into.set(target);
  }

  /**
   * Stores `from` at `addr`; crosses adjacent regions. Everything is checked before the first byte is stored. May tear.
   * @throws as `read`, and `ERR_MEMORY_READ_ONLY`
   */
  write(addr: U64, from: Uint8Array): void {
    const span = this.#last;
    checkBytes(from, 'from');
    const length = from.byteLength;
    if (
      typeof addr === 'number' &&
      addr >= span.start &&
      addr + length <= span.end &&
      this.#words[GENERATION] === this.#generation &&
      !span.readOnly &&
      length !== 0 &&
      Number.isSafeInteger(addr)
    ) {
      const at = addr - span.start;
      this.#put(span, at, length, from, 0);
      return;
    }
    const at = this.#range(addr, length);
    const spans = this.#cover(at, length, true);
    const source = aliases(spans, from) ? from.slice() : from;
    eachPart(spans, at, length, (part, offset, done, count) => this.#put(part, offset, count, source, done));
  }

  /**
   * Stores `length` bytes of `value` (0 to 255) from `addr` on; crosses adjacent regions.
   * @throws as `write`
   */
  memset(addr: U64, value: number, length: U64): void {
    if (typeof value !== 'number') throw invalidType('value', 'a number', value);
    if (!Number.isInteger(value) || value < 0 || value > 255)
      throw outOfRange('value', 'an integer from 0 to 255', value);
    const span = this.#last;
    if (
      typeof addr === 'number' &&
      typeof length === 'number' &&
      addr >= span.start &&
      addr + length <= span.end &&
      this.#words[GENERATION] === this.#generation &&
      !span.readOnly &&
      length > 0 &&
      Number.isSafeInteger(addr) &&
      Number.isSafeInteger(length)
    ) {
      this.#put(span, addr - span.start, length, value, 0);
      return;
    }
    const count = toU64(length, 'length');
    const at = this.#range(addr, count);
    eachPart(this.#cover(at, count, true), at, count, (part, offset, _done, bytes) =>
      this.#put(part, offset, bytes, value, 0),
    );
  }

  /**
   * The guest's bytes themselves: no copy, writes reach the guest at once. Within one mapping. Stores through it are raw: not
   * seen by dirty tracking, and not refused in read-only regions. It keeps the mapping alive.
   * @throws `ERR_MEMORY_UNMAPPED`; `ERR_MEMORY_RANGE` when the range leaves the mapping, or is longer than this Node's typed arrays
   *   can be (4 GiB on Node 20)
   */
  view(addr: U64, length: U64): Uint8Array<SharedArrayBuffer> {
    const count = toU64(length, 'length');
    const at = this.#range(addr, count);
    const [first, ...rest] = this.#cover(at, Math.max(count, 1), false);
    if (first === undefined) throw unmapped(at, at, count);
    for (const { region } of rest) {
      // Neighbours may be pieces of one mapping, made by setReadOnly.
      const inPlace = region.offset - first.region.offset === region.guestAddr - first.region.guestAddr;
      if (region.buffer !== first.region.buffer || !inPlace) {
        throw new HypervisorError(
          'ERR_MEMORY_RANGE',
          `a view cannot go from one mapping to another: [${hex(at)}, ${hex(at + count)}) crosses ${hex(region.guestAddr)}`,
        );
      }
    }
    const { region } = first;
    try {
      return new Uint8Array(region.buffer, region.offset + (at - region.guestAddr), count);
    } catch (cause) {
      throw new HypervisorError(
        'ERR_MEMORY_RANGE',
        `${hex(count)} bytes are more than a Uint8Array holds on this Node`,
        {
          cause,
        },
      );
    }
  }

  /**
   * The same as several views, for system calls that take a list of buffers: one for each stretch of at most 1 GiB that is in one piece
   * here, so also across mappings. What is stored through them becomes known by `markWritten`.
   * @throws as `read`
   */
  views(addr: U64, length: U64): Uint8Array<SharedArrayBuffer>[] {
    const count = toU64(length, 'length');
    const at = this.#range(addr, count);
    const views: Uint8Array<SharedArrayBuffer>[] = [];
    eachPart(this.#cover(at, count, false), at, count, (span, offset, _done, bytes) =>
      views.push(span.bytes.subarray(offset, offset + bytes)),
    );
    return views;
  }

  /**
   * Records [addr, addr + length) as written, for dirty tracking and watches: for stores through views, by this process or by
   * a system call. To be called when they are done; until then a harvest may come that does not have them.
   * @throws as `write`
   */
  markWritten(addr: U64, length: U64): void {
    const count = toU64(length, 'length');
    const at = this.#range(addr, count);
    eachPart(this.#cover(at, count, true), at, count, (span, offset, _done, bytes) => span.mark(offset, bytes));
  }

  /**
   * @internal Is all of [addr, addr + length) RAM, and writable for us and for the guest where `write` is set? For addresses that a guest gives: it
   * never throws for a number, and a device writes nowhere on its driver's behalf where that may not write. False for an empty range.
   */
  covers(addr: number, length: number, write: boolean): boolean {
    if (!this.#isCurrent()) this.#refresh();
    const span = this.#table.near(addr);
    if (Number.isSafeInteger(addr) && length > 0 && addr + length <= span.end) return !(write && refusesGuest(span));
    if (!Number.isSafeInteger(addr + length) || addr < 0 || length <= 0) return false;
    const spans = this.#table.cover(addr, length);
    return typeof spans !== 'number' && !(write && spans.some(refusesGuest));
  }

  /** @internal The spans that [addr, addr + length), writable RAM, lies in. @throws as `write` */
  spans(addr: number, length: number): readonly Span[] {
    return this.#cover(this.#range(addr, length), length, true);
  }

  /** Atomic operations by guest physical address. */
  get atomics(): MemoryAtomics {
    return this.#atomics;
  }

  /**
   * All of guest RAM at its guest physical addresses: byte `addr` goes to `into[addr]`, holes below `addressLimit()` become
   * zeros, bytes of `into` beyond it stay as they are.
   * @throws `ERR_BUFFER_TOO_SMALL` before anything was copied
   */
  dumpAll(into: Uint8Array): void {
    checkBytes(into, 'into');
    const { limit, spans } = this.table;
    if (into.byteLength < limit) {
      throw new HypervisorError(
        'ERR_BUFFER_TOO_SMALL',
        `dumpAll needs addressLimit() = ${hex(limit)} bytes, the buffer has ${hex(into.byteLength)}`,
      );
    }
    let end = 0;
    for (const span of spans) {
      into.fill(0, end, span.start);
      this.#move(into, span.start, span.bytes, 0, span.bytes.byteLength);
      end = span.end;
    }
  }

  /** Lets go of the memory on this thread; idempotent. The owner's ends it for every thread. Views stay valid. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#table = EMPTY_TABLE;
    this.#last = NO_SPAN;
    if (this.#feed !== undefined) {
      forgotten.unregister(this);
      this.#feed.close();
    }
  }

  // ── the slow path ──

  /** Takes over a changed table; throws when there is no memory any more. */
  #refresh(): void {
    if (this.#disposed) throw disposed();
    if (this.#feed === undefined || Atomics.load(this.#words, GENERATION) <= this.#generation) return;
    if (Atomics.load(this.#words, DISPOSED) !== 0) {
      this[Symbol.dispose]();
      throw disposed();
    }
    this.#accept(this.#feed.refresh());
  }

  #accept(table: PostedTable): void {
    if (!this.#disposed && (table.generation > this.#generation || this.#table === EMPTY_TABLE))
      this.install(table.regions, table.generation);
  }

  /** The address as a number, when addr + length is one too. */
  #range(addr: U64, length: number): number {
    this.#refresh();
    const at = toU64(addr, 'addr');
    if (at + length > Number.MAX_SAFE_INTEGER) {
      throw new HypervisorError('ERR_MEMORY_RANGE', `${hex(at)} + ${hex(length)} is beyond 2^53 - 1`);
    }
    return at;
  }

  /** The spans of a range, all mapped and, for writing, all writable. Only for ranges from #range. */
  #cover(at: number, length: number, write: boolean): readonly Span[] {
    const spans = this.#table.cover(at, length);
    if (typeof spans === 'number') throw unmapped(spans, at, length);
    if (write) {
      for (const { readOnly, region } of spans) {
        if (!readOnly) continue;
        const where = `[${hex(region.guestAddr)}, ${hex(region.guestAddr + region.size)})`;
        throw new HypervisorError(
          'ERR_MEMORY_READ_ONLY',
          `write of [${hex(at)}, ${hex(at + length)}): ${where} is read-only`,
        );
      }
    }
    const [first] = spans;
    if (first !== undefined) this.#last = first;
    return spans;
  }

  /** Is the table the newest? The owner's always is: it is changed on this very thread. */
  #isCurrent(): boolean {
    return this.#feed === undefined || this.#words[GENERATION] === this.#generation;
  }

  /** The span that holds [addr, addr + size), which becomes the last one; NO_SPAN where there is none, whatever `addr` is. */
  #seek(addr: number, size: number): Span {
    const span = this.#table.near(addr);
    if (!Number.isSafeInteger(addr) || !(addr + size <= span.end)) return NO_SPAN;
    this.#last = span;
    return span;
  }

  /** The one span of a small range; a range that crosses spans is an alignment error of the caller's, who asks for aligned words. */
  #span(addr: U64, size: number, write: boolean): Span {
    if (typeof addr === 'number' && this.#isCurrent()) {
      let span = this.#last;
      const offset = addr - span.start;
      if (offset >>> 0 !== offset || offset > span.size - size) span = this.#seek(addr, size);
      if (span !== NO_SPAN && !(write && span.readOnly)) return span;
    }
    const at = this.#range(addr, size);
    const [first] = this.#cover(at, size, write);
    if (first === undefined) throw unmapped(at, at, size);
    return first;
  }

  /** Copies as memmove does: the two may overlap. */
  #move(to: Uint8Array, toOffset: number, from: Uint8Array, fromOffset: number, count: number): void {
    if (count <= LOOP_BYTES) {
      // In two steps, for the overlap.
      for (let index = 0; index < count; index++) few[index] = from[fromOffset + index] as number;
      for (let index = 0; index < count; index++) to[toOffset + index] = few[index] as number;
    } else if (count >= NATIVE_COPY_BYTES) {
      this.#platform.copy(to, toOffset, from, fromOffset, count);
    } else {
      to.set(count === from.byteLength ? from : from.subarray(fromOffset, fromOffset + count), toOffset);
    }
  }

  /** Stores `count` bytes of `from`, or each of them as the byte that `from` is, and marks and reports them. */
  #put(span: Span, at: number, count: number, from: Uint8Array | number, fromOffset: number): void {
    if (count <= LOOP_BYTES) span.markPages(at, count);
    if (typeof from !== 'number') this.#move(span.bytes, at, from, fromOffset, count);
    else if (count > LOOP_BYTES) this.#platform.fill(span.view, at, count, from);
    else for (let index = at; index < at + count; index++) span.bytes[index] = from;
    // As Span.markPages(), and not by it: until the marks are set, no function may be entered (see Span.mark).
    const { marks, summary, writer } = span;
    const first = at >>> PAGE_SHIFT;
    const last = (at + count - 1) >>> PAGE_SHIFT;
    const group = (span.firstPage + first) >>> SUMMARY_SHIFT;
    marks[first] = writer;
    if (last !== first) marks.fill(writer, first + 1, last + 1);
    summary[group] = 1;
    if (last !== first) summary.fill(1, group, ((span.firstPage + last) >>> SUMMARY_SHIFT) + 1);
    span.report(at, count);
  }

  #loadSlowly<T, W>(addr: U64, type: Layout<T, W>): T {
    checkLayout(type);
    const at = this.#range(addr, type.size);
    const spans = this.#cover(at, type.size, false);
    const [first] = spans;
    if (spans.length === 1 && first !== undefined) return type.load(first, at - first.start);
    const bytes = new Uint8Array(type.size);
    this.read(at, bytes);
    return type.read(new DataView(bytes.buffer), 0);
  }

  #storeSlowly<T, W>(addr: U64, type: Layout<T, W>, value: W): void {
    checkLayout(type);
    const at = this.#range(addr, type.size);
    const spans = this.#cover(at, type.size, true);
    const [first] = spans;
    if (spans.length === 1 && first !== undefined) {
      first.markPages(at - first.start, type.size);
      type.store(first, at - first.start, value);
      first.mark(at - first.start, type.size);
      return;
    }
    // Read first: padding keeps its bytes.
    const bytes = new Uint8Array(type.size);
    this.read(at, bytes);
    type.write(new DataView(bytes.buffer), 0, value);
    this.write(at, bytes);
  }
}

/** Refuses what is not a handle, for a message that says so rather than one about an inner property. */
export function checkHandle(handle: MemoryHandle): void {
  const isHandle =
    handle !== null &&
    typeof handle === 'object' &&
    handle.kind === 'node-kvm.memory' &&
    typeof handle.channel === 'string' &&
    handle.header instanceof SharedArrayBuffer &&
    handle.header.byteLength === HEADER_WORDS * Int32Array.BYTES_PER_ELEMENT &&
    Number.isSafeInteger(handle.generation) &&
    Array.isArray(handle.regions);
  if (!isHandle) throw invalidType('handle', "a memory's handle", handle);
}

type PartVisitor = (span: Span, offset: number, done: number, count: number) => void;

/** Visits the parts of [at, at + length) that lie in each span. */
function eachPart(spans: readonly Span[], at: number, length: number, visit: PartVisitor): void {
  let done = 0;
  for (const span of spans) {
    const offset = at + done - span.start;
    const count = Math.min(span.end - span.start - offset, length - done);
    visit(span, offset, done, count);
    done += count;
  }
}

/** Could a copy between several spans and `bytes` overwrite what it is still to read? */
function aliases(spans: readonly Span[], bytes: Uint8Array): boolean {
  return spans.length > 1 && spans.some(span => span.bytes.buffer === bytes.buffer);
}

/** May a guest not write there, or nobody? */
function refusesGuest({ readOnly, region }: Span): boolean {
  return readOnly || region.guestReadOnly === true;
}

function checkBytes(value: Uint8Array, name: string): void {
  if (!(value instanceof Uint8Array)) throw invalidType(name, 'a Uint8Array', value);
}

/** By its shape: a layout may come from another copy of this library. */
function checkLayout(type: unknown): void {
  if (typeof (type as Layout<unknown> | null | undefined)?.load === 'function') return;
  throw invalidType('type', 'a layout (u8 … f64be, array, struct)', type);
}

function disposed(): HypervisorError {
  return new HypervisorError('ERR_DISPOSED', 'the memory was disposed');
}

function unmapped(hole: number, at: number, length: number): HypervisorError {
  return new HypervisorError(
    'ERR_MEMORY_UNMAPPED',
    `no memory at ${hex(hole)} (access to [${hex(at)}, ${hex(at + length)}))`,
  );
}
