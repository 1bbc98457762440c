// The JavaScript kernels of one actor on plain memory: STREAM, strided and random accesses, a chain, pages to dirty. Runs on actor threads; imports
// shared/ by way of arena.ts only.
//
// How they are written is what makes them fast. They are closures over the views, made once per thread: V8 then takes address and length of the views for
// constants of the code, where it would load and check them at every access. Indices begin as shifts, so that V8 knows their range and adds to them without a check
// for overflow. Loops are unrolled, since every access has a check of bounds. 64-bit sums live in a word of an array of their own: a BigInt that
// is loaded, added modulo 2^64 and stored stays in a register, one in a variable is allocated in each turn. Stores and copies are of integers, never of doubles: those may lose the bits of a NaN.

import type { LabKernel } from '../../../shared/lab/kernels.ts';
import type { Arena, Work } from './arena.ts';
import { report } from './arena.ts';

const PAGE_WORDS = 4096 / 4;
const GOLDEN = 0x9e3779b1;

// SAFETY (all `as` here): checked.ts has seen that what the parameters name lies in the arena, so that no index is outside the views.

/** Modulo 2^64: what V8 needs to see to add without an allocation. */
const plus = (a: bigint, b: bigint): bigint => BigInt.asUintN(64, a + b);

function readKernels({ u64 }: Arena) {
  const total = new BigUint64Array(1);
  const at = (index: number): bigint => u64[index] as bigint;

  /** Adds all 64-bit words from byte `from` on to the total. */
  function addAll(from: number, bytes: number): void {
    let i = from >>> 3;
    const end = i + (bytes >>> 3);
    for (; i + 8 <= end; i += 8) {
      const low = plus(plus(at(i), at(i + 1)), plus(at(i + 2), at(i + 3)));
      const high = plus(plus(at(i + 4), at(i + 5)), plus(at(i + 6), at(i + 7)));
      total[0] = plus(total[0] as bigint, plus(low, high));
    }
    for (; i < end; i++) total[0] = plus(total[0] as bigint, at(i));
  }

  /** The same for `words` words that lie `stride` bytes apart. */
  function addEach(from: number, words: number, stride: number): void {
    const step = stride >>> 3;
    let i = from >>> 3;
    let left = words;
    for (; left >= 4; left -= 4, i += 4 * step) {
      const sum = plus(plus(at(i), at(i + step)), plus(at(i + 2 * step), at(i + 3 * step)));
      total[0] = plus(total[0] as bigint, sum);
    }
    for (; left > 0; left--, i += step) total[0] = plus(total[0] as bigint, at(i));
  }

  const read: Work = ([at = 0, bytes = 0, passes = 0], values) => {
    const words = Math.floor(bytes / 8);
    total[0] = 0n;
    for (let pass = 0; pass < passes; pass++) {
      total[0] = 0n;
      addAll(at, bytes);
    }
    report(values, words * passes, total[0]);
  };

  const strided: Work = ([at = 0, bytes = 0, passes = 0, stride = 0], values) => {
    const words = Math.floor(bytes / stride);
    total[0] = 0n;
    for (let pass = 0; pass < passes; pass++) {
      total[0] = 0n;
      addEach(at, words, stride);
    }
    report(values, words * passes, total[0]);
  };

  return { read, strided };
}

function writeKernels({ u8, u32, u64 }: Arena) {
  function fill(from: number, bytes: number, value: bigint): void {
    let i = from >>> 3;
    const end = i + (bytes >>> 3);
    for (; i + 8 <= end; i += 8) {
      u64[i] = value;
      u64[i + 1] = value;
      u64[i + 2] = value;
      u64[i + 3] = value;
      u64[i + 4] = value;
      u64[i + 5] = value;
      u64[i + 6] = value;
      u64[i + 7] = value;
    }
    for (; i < end; i++) u64[i] = value;
  }

  const write: Work = ([at = 0, bytes = 0, passes = 0, value = 0], values) => {
    const words = Math.floor(bytes / 8);
    const both = (BigInt(value) << 32n) | BigInt(value);
    for (let pass = 0; pass < passes; pass++) fill(at, bytes, both);
    report(values, words * passes, 0n);
  };

  const copy: Work = ([at = 0, bytes = 0, passes = 0, from = 0], values) => {
    for (let pass = 0; pass < passes; pass++) u8.copyWithin(at, from, from + bytes);
    report(values, Math.floor(bytes / 8) * passes, 0n);
  };

  const dirty: Work = ([at = 0, pages = 0, passes = 0, step = 0], values) => {
    const first = at >>> 2;
    const end = first + pages * PAGE_WORDS;
    const stride = step * PAGE_WORDS;
    for (let pass = 1; pass <= passes; pass++) for (let i = first; i < end; i += stride) u32[i] = pass;
    report(values, Math.ceil(pages / step) * passes, 0n);
  };

  return { write, copy, dirty };
}

function triadKernel({ f64 }: Arena): Work {
  const at = (index: number): number => f64[index] as number;

  /** One counter, and the distances of the other two arrays: less to add in each turn. */
  function once(a: number, b: number, c: number, bytes: number): void {
    let i = a >>> 3;
    const toB = (b >>> 3) - i;
    const toC = (c >>> 3) - i;
    const end = i + (bytes >>> 3);
    for (; i + 8 <= end; i += 8) {
      f64[i] = at(i + toB) + 3 * at(i + toC);
      f64[i + 1] = at(i + toB + 1) + 3 * at(i + toC + 1);
      f64[i + 2] = at(i + toB + 2) + 3 * at(i + toC + 2);
      f64[i + 3] = at(i + toB + 3) + 3 * at(i + toC + 3);
      f64[i + 4] = at(i + toB + 4) + 3 * at(i + toC + 4);
      f64[i + 5] = at(i + toB + 5) + 3 * at(i + toC + 5);
      f64[i + 6] = at(i + toB + 6) + 3 * at(i + toC + 6);
      f64[i + 7] = at(i + toB + 7) + 3 * at(i + toC + 7);
    }
    for (; i < end; i++) f64[i] = at(i + toB) + 3 * at(i + toC);
  }

  return ([at = 0, bytes = 0, passes = 0, b = 0, c = 0], values) => {
    const count = Math.floor(bytes / 8);
    for (let pass = 0; pass < passes; pass++) once(at, b, c, bytes);
    report(values, count * passes, 0n);
  };
}

/** Places are the low bits of xorshift32; whether it is a store, the high bits of its product with the golden ratio. */
function randomKernel({ u32, u64 }: Arena): Work {
  const total = new BigUint64Array(1);
  return ([at = 0, bytes = 0, count = 0, seed = 0, writes = 0], values) => {
    const first = at >>> 3;
    const mask = (bytes >>> 3) - 1;
    let x = seed | 0;
    total[0] = 0n;
    for (let i = 0; i < count; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      const word = first + (x & mask);
      if (Math.imul(x, GOLDEN) >>> 24 < writes) {
        u32[2 * word] = i;
        u32[2 * word + 1] = 0;
      } else total[0] = plus(total[0] as bigint, u64[word] as bigint);
    }
    report(values, count, total[0]);
  };
}

function chaseKernel({ u32 }: Arena): Work {
  return ([at = 0, count = 0], values) => {
    let p = at;
    let i = 0;
    // The chain lies in memory that anybody writes. The check is a branch that is foretold: it does not delay the next load.
    for (; i < count && p >>> 2 < u32.length; i++) p = u32[p >>> 2] as number;
    report(values, i, BigInt(p));
  };
}

/** The kernels over one arena. */
export function memoryKernels(arena: Arena) {
  return {
    ...readKernels(arena),
    ...writeKernels(arena),
    triad: triadKernel(arena),
    random: randomKernel(arena),
    chase: chaseKernel(arena),
  } satisfies Partial<Record<LabKernel, Work>>;
}
