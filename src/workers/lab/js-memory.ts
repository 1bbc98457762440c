// The JavaScript kernels of one actor on plain memory: STREAM, strided and random accesses, a chain, pages to dirty. Runs on actor threads; imports
// shared/ by way of arena.ts only.
//
// How they are written is what makes them fast. Loops are unrolled, because each typed-array access carries a bounds check. 64-bit sums are kept in
// halves, because V8 allocates a BigInt per addition: the low halves as doubles (exact below 2^53: LEAVES additions of 2^32), the high halves as
// int32, of which only the low 32 bits matter. Stores and copies are of 64-bit integers, never of doubles: those may lose the bits of a NaN.

import type { LabKernel } from '../../../shared/lab/kernels.ts';
import type { Arena, Kernel } from './arena.ts';
import { report } from './arena.ts';

const PAGE = 4096;
/** So many low halves are added up before their sum is folded into a bigint. */
const LEAVES = 1 << 20;
const GOLDEN = 0x9e3779b1;

const wide = (low: number, high: number): bigint => BigInt(low) + (BigInt(high) << 32n);
const wrapped = (sum: bigint): bigint => BigInt.asUintN(64, sum);

// SAFETY (all `as number` here): checked.ts has seen that the span lies in the arena, so that no index is outside the views.

/** The sum of `words` ≤ LEAVES 64-bit words, from word `first` on, `step` words apart. */
function sumOf({ i32, u32 }: Arena, first: number, words: number, step: number): bigint {
  const stride = 2 * step;
  let [low, low1, low2, low3, high] = [0, 0, 0, 0, 0];
  let at = 2 * first;
  let left = words;
  for (; left >= 4; left -= 4) {
    const b = at + stride;
    const c = b + stride;
    const d = c + stride;
    low += u32[at] as number;
    high = (high + (i32[at + 1] as number)) | 0;
    low1 += u32[b] as number;
    high = (high + (i32[b + 1] as number)) | 0;
    low2 += u32[c] as number;
    high = (high + (i32[c + 1] as number)) | 0;
    low3 += u32[d] as number;
    high = (high + (i32[d + 1] as number)) | 0;
    at = d + stride;
  }
  for (; left > 0; left--, at += stride) {
    low += u32[at] as number;
    high = (high + (i32[at + 1] as number)) | 0;
  }
  return wide(low + low1 + low2 + low3, high);
}

/** One pass over words that lie `step` words apart, in pieces whose sums stay exact. */
function sumAll(arena: Arena, first: number, words: number, step: number): bigint {
  let sum = 0n;
  for (let done = 0; done < words; done += LEAVES)
    sum += sumOf(arena, first + done * step, Math.min(LEAVES, words - done), step);
  return wrapped(sum);
}

const read: Kernel = (arena, [at = 0, bytes = 0, passes = 0], values) => {
  const words = Math.floor(bytes / 8);
  let sum = 0n;
  for (let pass = 0; pass < passes; pass++) sum = sumAll(arena, at / 8, words, 1);
  report(values, words * passes, sum);
};

const strided: Kernel = (arena, [at = 0, bytes = 0, passes = 0, stride = 0], values) => {
  const words = Math.floor(bytes / stride);
  let sum = 0n;
  for (let pass = 0; pass < passes; pass++) sum = sumAll(arena, at / 8, words, stride / 8);
  report(values, words * passes, sum);
};

function fill({ u64 }: Arena, first: number, words: number, value: bigint): void {
  const end = first + words;
  let i = first;
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

const write: Kernel = (arena, [at = 0, bytes = 0, passes = 0, value = 0], values) => {
  const words = Math.floor(bytes / 8);
  for (let pass = 0; pass < passes; pass++) fill(arena, at / 8, words, wide(value, value));
  report(values, words * passes, 0n);
};

const copy: Kernel = (arena, [at = 0, bytes = 0, passes = 0, from = 0], values) => {
  const { u8 } = arena;
  for (let pass = 0; pass < passes; pass++) u8.copyWithin(at, from, from + bytes);
  report(values, Math.floor(bytes / 8) * passes, 0n);
};

function triadOnce({ f64 }: Arena, a: number, b: number, c: number, count: number): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    f64[a + i] = (f64[b + i] as number) + 3 * (f64[c + i] as number);
    f64[a + i + 1] = (f64[b + i + 1] as number) + 3 * (f64[c + i + 1] as number);
    f64[a + i + 2] = (f64[b + i + 2] as number) + 3 * (f64[c + i + 2] as number);
    f64[a + i + 3] = (f64[b + i + 3] as number) + 3 * (f64[c + i + 3] as number);
  }
  for (; i < count; i++) f64[a + i] = (f64[b + i] as number) + 3 * (f64[c + i] as number);
}

const triad: Kernel = (arena, [at = 0, bytes = 0, passes = 0, b = 0, c = 0], values) => {
  const count = Math.floor(bytes / 8);
  for (let pass = 0; pass < passes; pass++) triadOnce(arena, at / 8, b / 8, c / 8, count);
  report(values, count * passes, 0n);
};

/** Places are the low bits of xorshift32; whether it is a store, the high bits of its product with the golden ratio. */
const random: Kernel = (arena, [at = 0, bytes = 0, count = 0, seed = 0, writes = 0], values) => {
  const { i32, u32 } = arena;
  const first = at / 4;
  const mask = bytes / 8 - 1;
  let x = seed | 0;
  let sum = 0n;
  for (let start = 0; start < count; start += LEAVES) {
    const end = Math.min(count, start + LEAVES);
    let [low, high] = [0, 0];
    for (let i = start; i < end; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      const word = first + 2 * (x & mask);
      if (Math.imul(x, GOLDEN) >>> 24 < writes) {
        u32[word] = i;
        u32[word + 1] = 0;
      } else {
        low += u32[word] as number;
        high = (high + (i32[word + 1] as number)) | 0;
      }
    }
    sum += wide(low, high);
  }
  report(values, count, wrapped(sum));
};

const chase: Kernel = (arena, [at = 0, count = 0], values) => {
  const { u32 } = arena;
  let p = at;
  let i = 0;
  // The chain lies in memory that anybody writes. The check is a branch that is foretold: it does not delay the next load.
  for (; i < count && p >>> 2 < u32.length; i++) p = u32[p >>> 2] as number;
  report(values, i, BigInt(p));
};

const dirty: Kernel = (arena, [at = 0, pages = 0, passes = 0, step = 0], values) => {
  const { u32 } = arena;
  const words = (pages * PAGE) / 4;
  const first = at / 4;
  const stride = step * (PAGE / 4);
  for (let pass = 1; pass <= passes; pass++) for (let i = first; i < first + words; i += stride) u32[i] = pass;
  report(values, Math.ceil(pages / step) * passes, 0n);
};

export const memoryKernels = { read, write, copy, triad, strided, random, chase, dirty } satisfies Partial<
  Record<LabKernel, Kernel>
>;
