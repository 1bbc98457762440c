// What the kernels' parameters must be: everything that they name lies in the arena, aligned. The same rules as lab_order_fits() of native/lab/kernels.c,
// for JavaScript and WebAssembly. Runs on actor threads, once per order, before the kernel. Imports shared/ and arena.ts only.

import type { LabKernel } from '../../../shared/lab/kernels.ts';
import { type Arena, type Kernel, notZero, place, powerOfTwo, type Work } from './arena.ts';

const PAGE = 4096;
/** Where slots begin behind a queue's `at`, and what lies behind a ticket lock's, bytes. */
const SLOTS = 128;
const SEQLOCK_WORDS = 8;

type Rule = (arena: Arena, params: readonly number[]) => void;

/** Words of 64 bits that hold `bytes`. */
const words = (arena: Arena, at: number, bytes: number): void => void place(arena, at, Math.ceil(bytes / 8), 8);
const span = (arena: Arena, at: number, bytes: number): void => void place(arena, at, bytes / 4, 4);

const stream: Rule = (arena, [at = 0, bytes = 0]) => words(arena, at, bytes);
const oneWord: Rule = (arena, [at = 0]) => span(arena, at, 4);
const seqlock: Rule = (arena, [at = 0]) => span(arena, at, 4 * SEQLOCK_WORDS);
const spsc: Rule = (arena, [at = 0, , slots = 0]) => span(arena, at, SLOTS + 4 * powerOfTwo('slots', slots));
const mpmc: Rule = (arena, [at = 0, , slots = 0]) => span(arena, at, SLOTS + 8 * powerOfTwo('slots', slots));

const RULES: Partial<Record<LabKernel, Rule>> = {
  read: stream,
  write: stream,
  copy(arena, [at = 0, bytes = 0, , from = 0]) {
    words(arena, at, bytes);
    words(arena, from, bytes);
  },
  triad(arena, [at = 0, bytes = 0, , b = 0, c = 0]) {
    for (const begin of [at, b, c]) words(arena, begin, bytes);
  },
  strided(arena, [at = 0, bytes = 0, , stride = 0]) {
    words(arena, at, bytes);
    place(arena, notZero('stride', stride), 0, 8);
  },
  random(arena, [at = 0, bytes = 0]) {
    words(arena, at, 8 * powerOfTwo('bytes / 8', bytes / 8));
  },
  chase: oneWord,
  atomicAdd: oneWord,
  casAdd: oneWord,
  increment: oneWord,
  seqlockWrite: seqlock,
  seqlockRead: seqlock,
  ticketLock: (arena, [at = 0]) => span(arena, at, SLOTS + 4),
  spscPush: spsc,
  spscPop: spsc,
  mpmcPush: mpmc,
  mpmcPop: mpmc,
  dirty(arena, [at = 0, pages = 0, , step = 0]) {
    span(arena, at, pages * PAGE);
    notZero('step', step);
  },
};

/** The kernels behind their rules: each throws before it changes anything when its parameters do not fit. */
export function checked<Name extends LabKernel>(kernels: Readonly<Record<Name, Work>>): Record<Name, Kernel> {
  const guarded = (Object.entries(kernels) as [Name, Work][]).map(([name, work]) => {
    const rule = RULES[name];
    if (!rule) throw new TypeError(`there is no rule for the parameters of kernel ${name}`);
    const behindRule: Kernel = (arena, params, values) => {
      rule(arena, [...params]);
      work(params, values);
    };
    return [name, behindRule];
  });
  return Object.fromEntries(guarded) as Record<Name, Kernel>;
}
