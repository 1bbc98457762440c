// A span: at most 1 GiB of one region, with every view of it made once. Runs on every thread; pure.
// Regions are cut into spans so that offsets within one are 31-bit integers (which the JIT likes), so that typed arrays never
// meet Node 20's limit of 4 GiB, and so that one cached object answers an access: bounds, views and dirty marks.

import type { Layout } from './layout.ts';
import { PAGES_PER_SUMMARY, type RegionDescriptor } from './memory-layout.ts';
import { F64, I32, OTHER, type ScalarCode, U8, U16, U32, U64 } from './scalar-code.ts';
import { GIB, PAGE_SHIFT, PAGE_SIZE } from './units.ts';

/** Bytes of a span at most; regions are cut at multiples of it from their first byte. */
export const SPAN_SIZE = GIB;

/** From the number of a page to that of its byte in the summary. */
export const SUMMARY_SHIFT = Math.log2(PAGES_PER_SUMMARY);

export class Span {
  // `declare`, so that the constructor's assignment is the first store to each field: V8 then knows what the field holds (small
  // integer, Float64Array …) and leaves out checks. A field that is initialised to undefined first holds anything.

  /** Guest physical addresses: first byte, and the byte after the last. */
  declare readonly start: number;
  declare readonly end: number;
  /** Bytes: at most SPAN_SIZE. */
  declare readonly size: number;
  declare readonly readOnly: boolean;
  declare readonly region: RegionDescriptor;
  declare readonly view: DataView;
  declare readonly bytes: Uint8Array<SharedArrayBuffer>;
  declare readonly i8: Int8Array;
  declare readonly u16: Uint16Array;
  declare readonly i16: Int16Array;
  declare readonly u32: Uint32Array;
  declare readonly i32: Int32Array;
  declare readonly f32: Float32Array;
  declare readonly u64: BigUint64Array;
  declare readonly i64: BigInt64Array;
  declare readonly f64: Float64Array;
  /** One byte per page of this span. */
  declare readonly marks: Uint8Array;
  /** One byte per PAGES_PER_SUMMARY pages of the mapping, in which this span begins with page `firstPage`. */
  declare readonly summary: Uint8Array;
  declare readonly firstPage: number;
  /** What this thread marks with: its number in the memory. */
  declare readonly writer: number;

  constructor(region: RegionDescriptor, from: number, size: number, writer: number) {
    const { buffer } = region;
    const offset = region.offset + from;
    this.start = region.guestAddr + from;
    this.end = this.start + size;
    this.size = size;
    this.readOnly = region.readOnly;
    this.region = region;
    this.view = new DataView(buffer, offset, size);
    this.bytes = new Uint8Array(buffer, offset, size);
    this.i8 = new Int8Array(buffer, offset, size);
    this.u16 = new Uint16Array(buffer, offset, size / 2);
    this.i16 = new Int16Array(buffer, offset, size / 2);
    this.u32 = new Uint32Array(buffer, offset, size / 4);
    this.i32 = new Int32Array(buffer, offset, size / 4);
    this.f32 = new Float32Array(buffer, offset, size / 4);
    this.u64 = new BigUint64Array(buffer, offset, size / 8);
    this.i64 = new BigInt64Array(buffer, offset, size / 8);
    this.f64 = new Float64Array(buffer, offset, size / 8);
    this.firstPage = offset / PAGE_SIZE;
    this.marks = new Uint8Array(region.marks, this.firstPage, size / PAGE_SIZE);
    this.summary = new Uint8Array(region.summary);
    this.writer = writer;
  }

  /**
   * The value of `type` at `at`, which must lie within. The scalars by a switch, and not by a function of the layout: readObj has one
   * call site for all layouts, where V8 inlines a single callee, but every case of a switch.
   */
  load<T, W>(at: number, type: Layout<T, W>): T {
    switch ((at & (type.size - 1)) === 0 ? type.code : OTHER) {
      case U8:
        return this.bytes[at] as T;
      case U16:
        return this.u16[at >>> 1] as T;
      case U32:
        return this.u32[at >>> 2] as T;
      case I32:
        return this.i32[at >>> 2] as T;
      case U64:
        return this.u64[at >>> 3] as T;
      case F64:
        return this.f64[at >>> 3] as T;
      default:
        return type.load(this, at);
    }
  }

  /** Stores `value` at `at` and marks its pages. The layout's own code is for what is not simply right: it converts or throws. */
  store<T, W>(at: number, type: Layout<T, W>, value: W): void {
    if ((at & (type.size - 1)) === 0 && this.#storeScalar(at, type.code, value)) {
      const page = at >>> PAGE_SHIFT;
      this.marks[page] = this.writer;
      this.summary[(this.firstPage + page) >>> SUMMARY_SHIFT] = 1;
      return;
    }
    this.markPages(at, type.size);
    type.store(this, at, value);
    this.mark(at, type.size);
  }

  #storeScalar(at: number, code: ScalarCode, value: unknown): boolean {
    if (typeof value === 'bigint') {
      if (code !== U64 || BigInt.asUintN(64, value) !== value) return false;
      this.u64[at >>> 3] = value;
      return true;
    }
    if (typeof value !== 'number') return false;
    switch (code) {
      case U8:
        if ((value & 0xff) !== value) return false;
        this.bytes[at] = value;
        return true;
      case U16:
        if ((value & 0xffff) !== value) return false;
        this.u16[at >>> 1] = value;
        return true;
      case U32:
        if (value >>> 0 !== value) return false;
        this.u32[at >>> 2] = value;
        return true;
      case I32:
        if ((value | 0) !== value) return false;
        this.i32[at >>> 2] = value;
        return true;
      case F64:
        this.f64[at >>> 3] = value;
        return true;
      default:
        return false;
    }
  }

  /** Stores `size` bytes (1 to 8) of `from`, in one access where `at` is a multiple of a size that has one, and marks them. */
  storeBytes(at: number, from: DataView, fromAt: number, size: number): void {
    const first = at >>> PAGE_SHIFT;
    const last = (at + size - 1) >>> PAGE_SHIFT;
    if (size === 8 && at % 8 === 0) this.u64[at / 8] = from.getBigUint64(fromAt, true);
    else if (size === 4 && at % 4 === 0) this.u32[at / 4] = from.getUint32(fromAt, true);
    else if (size === 2 && at % 2 === 0) this.u16[at / 2] = from.getUint16(fromAt, true);
    else for (let i = 0; i < size; i++) this.bytes[at + i] = from.getUint8(fromAt + i);
    this.marks[first] = this.writer;
    this.marks[last] = this.writer;
    this.summary[(this.firstPage + first) >>> SUMMARY_SHIFT] = 1;
    this.summary[(this.firstPage + last) >>> SUMMARY_SHIFT] = 1;
    this.report(at, size);
  }

  /**
   * Marks the pages of [at, at + length) as written through the API, and tells whoever watches them; length ≥ 1. To be called *after*
   * the data was stored.
   *
   * Why plain stores suffice (x86-TSO): stores become visible in program order. A harvester first takes the mark (atomic
   * exchange) and then reads the page. If it took our mark, our data was visible before the mark, so it reads new data. If
   * it came before our mark, the mark is still there for the next harvest. Either way no page is lost; at worst one is
   * reported twice. For the same reason the mark is stored even where it is set already: *skipping* the store would need a
   * load of the mark, which the CPU may do before the data store is visible, and a harvest in between would lose the page.
   * The summary follows the marks and is taken before them, by the same argument.
   * (Fast-string and non-temporal copies keep the order too: `rep movs` is ordered before later stores, and libc fences its
   * non-temporal loops.)
   *
   * V8 ends a thread that is terminated where a function is entered or a loop turns, which may be between the data and this call. Bulk
   * stores (GuestMemory.#put) and single words therefore mark in line. Loops of a few bytes and objects, which take nanoseconds, mark their
   * pages before as well: such a page is missed only if a harvest comes in between, too.
   */
  mark(at: number, length: number): void {
    this.markPages(at, length);
  }

  /** Tells whoever watches the range of a store, which has been marked. */
  report(_at: number, _length: number): void {}

  /** The marks alone. */
  markPages(at: number, length: number): void {
    const first = at >>> PAGE_SHIFT;
    const last = (at + length - 1) >>> PAGE_SHIFT;
    this.marks[first] = this.writer;
    const group = (this.firstPage + first) >>> SUMMARY_SHIFT;
    if (last === first) {
      this.summary[group] = 1;
      return;
    }
    this.marks.fill(this.writer, first + 1, last + 1);
    this.summary.fill(1, group, ((this.firstPage + last) >>> SUMMARY_SHIFT) + 1);
  }
}

/** The span that no address lies in: what an empty memory's last-span cache holds. */
export const NO_SPAN = new Span(
  {
    guestAddr: 0,
    size: 0,
    hostAddr: 0n,
    readOnly: true,
    slot: undefined,
    buffer: new SharedArrayBuffer(0),
    offset: 0,
    marks: new SharedArrayBuffer(0),
    summary: new SharedArrayBuffer(0),
  },
  0,
  0,
  0,
);
