// Atomic operations on guest memory by guest physical address. Runs on every thread; pure.
// Sequentially consistent among JavaScript threads, and with vCPUs: on x86 they are the same `lock`-prefixed instructions
// on the same bytes. wait/notify know JavaScript's waiters only: a guest's store wakes nobody (let it ring a device).

import { HypervisorError, invalidType, outOfRange } from './errors.ts';
import type { Layout } from './layout.ts';
import type { ScalarSpec } from './layout-compile.ts';
import { type Span, SUMMARY_SHIFT } from './span.ts';
import { hex, PAGE_SHIFT, type U64 } from './units.ts';

/** The span that holds [addr, addr + size), checked; for writing: refuses read-only regions. */
export type Locate = (addr: U64, size: number, write: boolean) => Span;

export type WaitResult = 'ok' | 'not-equal' | 'timed-out';
/** As `Atomics.waitAsync` returns it. */
export type WaitAsyncResult =
  | { readonly async: false; readonly value: 'not-equal' | 'timed-out' }
  | { readonly async: true; readonly value: Promise<'ok' | 'timed-out'> };

/** `Atomics.waitAsync` is in Node 20 and not yet in the compiler's library for ES2023. */
type WaitAsync = (words: Int32Array, index: number, value: number, timeout?: number) => WaitAsyncResult;

/**
 * `memory.atomics`: layouts are u8, i8 and the little-endian integers of 16 to 64 bits; the address is a multiple of
 * the layout's size.
 *
 * Every method throws `ERR_MEMORY_ALIGNMENT`, `ERR_MEMORY_UNMAPPED`, `ERR_MEMORY_READ_ONLY` (if it may store), `ERR_DISPOSED`,
 * and TypeError/RangeError for arguments that are no address, layout or value of it.
 */
export class MemoryAtomics {
  readonly #locate: Locate;
  // What #at() found, in place of an object per call. Each store marks its page in line, by the last two: see Span.mark().
  #index = 0;
  #offset = 0;
  #page = 0;
  #group = 0;

  /** @internal */
  constructor(locate: Locate) {
    this.#locate = locate;
  }

  load<T, W>(addr: U64, layout: Layout<T, W>): T {
    const span = this.#at(addr, layout, false);
    return Atomics.load(words(span, layout), this.#index) as T;
  }

  store<T, W>(addr: U64, layout: Layout<T, W>, value: W): void {
    const operand = check(layout, value);
    const span = this.#at(addr, layout, true);
    Atomics.store(words(span, layout), this.#index, operand);
    span.marks[this.#page] = span.writer;
    span.summary[this.#group] = 1;
    span.report(this.#offset, layout.size);
  }

  /** Adds, wrapping around; returns the value before, as all of these do. */
  add<T, W>(addr: U64, layout: Layout<T, W>, value: W): T {
    const operand = check(layout, value);
    const span = this.#at(addr, layout, true);
    const old = Atomics.add(words(span, layout), this.#index, operand);
    span.marks[this.#page] = span.writer;
    span.summary[this.#group] = 1;
    span.report(this.#offset, layout.size);
    return old as T;
  }

  sub<T, W>(addr: U64, layout: Layout<T, W>, value: W): T {
    const operand = check(layout, value);
    const span = this.#at(addr, layout, true);
    const old = Atomics.sub(words(span, layout), this.#index, operand);
    span.marks[this.#page] = span.writer;
    span.summary[this.#group] = 1;
    span.report(this.#offset, layout.size);
    return old as T;
  }

  and<T, W>(addr: U64, layout: Layout<T, W>, value: W): T {
    const operand = check(layout, value);
    const span = this.#at(addr, layout, true);
    const old = Atomics.and(words(span, layout), this.#index, operand);
    span.marks[this.#page] = span.writer;
    span.summary[this.#group] = 1;
    span.report(this.#offset, layout.size);
    return old as T;
  }

  or<T, W>(addr: U64, layout: Layout<T, W>, value: W): T {
    const operand = check(layout, value);
    const span = this.#at(addr, layout, true);
    const old = Atomics.or(words(span, layout), this.#index, operand);
    span.marks[this.#page] = span.writer;
    span.summary[this.#group] = 1;
    span.report(this.#offset, layout.size);
    return old as T;
  }

  xor<T, W>(addr: U64, layout: Layout<T, W>, value: W): T {
    const operand = check(layout, value);
    const span = this.#at(addr, layout, true);
    const old = Atomics.xor(words(span, layout), this.#index, operand);
    span.marks[this.#page] = span.writer;
    span.summary[this.#group] = 1;
    span.report(this.#offset, layout.size);
    return old as T;
  }

  exchange<T, W>(addr: U64, layout: Layout<T, W>, value: W): T {
    const operand = check(layout, value);
    const span = this.#at(addr, layout, true);
    const old = Atomics.exchange(words(span, layout), this.#index, operand);
    span.marks[this.#page] = span.writer;
    span.summary[this.#group] = 1;
    span.report(this.#offset, layout.size);
    return old as T;
  }

  /**
   * Stores `value` if the word holds `expected`; returns what it held. The page is marked dirty only if
   * it stored; source 'pagemap' sees every compareExchange as a write, as the processor does.
   */
  compareExchange<T, W>(addr: U64, layout: Layout<T, W>, expected: W, value: W): T {
    const comparand = check(layout, expected);
    const operand = check(layout, value);
    const span = this.#at(addr, layout, true);
    const old = Atomics.compareExchange(words(span, layout), this.#index, comparand, operand);
    // SAFETY: number or bigint on both sides, whatever `words` calls them.
    if ((old as number | bigint) !== comparand) return old as T;
    span.marks[this.#page] = span.writer;
    span.summary[this.#group] = 1;
    span.report(this.#offset, layout.size);
    return old as T;
  }

  /**
   * Sleeps while the 32- or 64-bit word holds `expected`, at most `timeoutMs` (default: for ever). **Blocks the thread.** Reads
   * only: allowed on read-only regions.
   */
  wait<T, W>(addr: U64, layout: Layout<T, W>, expected: W, timeoutMs?: number): WaitResult {
    const comparand = waitValue(layout, check(layout, expected));
    const timeout = timeoutOf(timeoutMs);
    const span = this.#at(addr, layout, false);
    return Atomics.wait(waitWords(span, layout), this.#index, comparand, timeout);
  }

  /** The same without blocking, as `Atomics.waitAsync`. A pending wait does not keep the process alive. */
  waitAsync<T, W>(addr: U64, layout: Layout<T, W>, expected: W, timeoutMs?: number): WaitAsyncResult {
    const comparand = waitValue(layout, check(layout, expected));
    const timeout = timeoutOf(timeoutMs);
    const span = this.#at(addr, layout, false);
    const { waitAsync } = Atomics as unknown as { readonly waitAsync: WaitAsync };
    return waitAsync(waitWords(span, layout), this.#index, comparand, timeout);
  }

  /** Wakes at most `count` JavaScript threads (default: all) that wait on the word; returns how many. */
  notify<T, W>(addr: U64, layout: Layout<T, W>, count?: number): number {
    waitable(layout);
    if (count !== undefined && typeof count !== 'number') throw invalidType('count', 'a number', count);
    if (count !== undefined && !(count >= 0)) throw outOfRange('count', 'zero or more', count);
    const span = this.#at(addr, layout, false);
    return Atomics.notify(waitWords(span, layout), this.#index, count);
  }

  #at<T, W>(addr: U64, layout: Layout<T, W>, write: boolean): Span {
    const { size } = scalarOf(layout);
    const span = this.#locate(addr, size, write);
    const offset = Number(addr) - span.start;
    if ((offset & (size - 1)) !== 0) {
      throw new HypervisorError(
        'ERR_MEMORY_ALIGNMENT',
        `an atomic ${layout.name} needs an address that is a multiple of ${size}, got ${hex(addr)}`,
      );
    }
    this.#offset = offset;
    this.#page = offset >>> PAGE_SHIFT;
    this.#group = (span.firstPage + this.#page) >>> SUMMARY_SHIFT;
    this.#index = offset >>> (31 - Math.clz32(size));
    return span;
  }
}

function scalarOf(layout: Layout<unknown, never>): ScalarSpec {
  const spec = layout?.spec;
  if (spec?.kind !== 'scalar' || !spec.littleEndian || spec.type === 'f32' || spec.type === 'f64') {
    throw invalidType('layout', 'u8, i8 or a little-endian integer layout', layout?.name ?? layout);
  }
  return spec;
}

/**
 * The span's typed array for the layout.
 * SAFETY of the type: `Atomics` takes any integer typed array with operands of its kind. `check` makes bigints for the 64-bit
 * layouts and numbers for the others, so array and operand always belong together; the compiler is told one pair for all.
 */
function words<T, W>(span: Span, layout: Layout<T, W>): Int32Array {
  const { type } = scalarOf(layout);
  const array = type === 'u8' ? span.bytes : type === 'f32' || type === 'f64' ? undefined : span[type];
  return array as unknown as Int32Array;
}

function check<T, W>(layout: Layout<T, W>, value: W): number {
  return scalarOf(layout).check(value, 'value') as number;
}

function waitable<T, W>(layout: Layout<T, W>): ScalarSpec {
  const spec = scalarOf(layout);
  if (spec.size < 4) throw invalidType('layout', 'a 32- or 64-bit integer layout', layout.name);
  return spec;
}

function waitWords<T, W>(span: Span, layout: Layout<T, W>): Int32Array {
  // SAFETY: as in words(); Atomics.wait works on Int32Array and BigInt64Array only, which see the same bytes.
  return (waitable(layout).size === 8 ? span.i64 : span.i32) as Int32Array;
}

/** The same bits as the signed type that Atomics.wait compares. */
function waitValue<T, W>(layout: Layout<T, W>, value: number | bigint): number {
  waitable(layout);
  return (typeof value === 'bigint' ? BigInt.asIntN(64, value) : value | 0) as number;
}

function timeoutOf(timeoutMs: number | undefined): number {
  if (timeoutMs === undefined) return Number.POSITIVE_INFINITY;
  if (typeof timeoutMs !== 'number') throw invalidType('timeoutMs', 'a number', timeoutMs);
  if (!(timeoutMs >= 0)) throw outOfRange('timeoutMs', 'zero or more', timeoutMs);
  return timeoutMs;
}
