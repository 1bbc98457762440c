// One batch of a litmus test: many instances of it in the arena, where they lie and how its threads go through them, drawn from a seeded generator anew
// for each batch. What litmus tools do: strides, places in one cache line or apart, shuffled order, threads that wait for each other or don't,
// random delays, changing CPUs. Main thread; knows no team.

import { HypervisorError } from '../../../../shared/errors.ts';
import { LITMUS_PACE_BYTES, LITMUS_PARAM, LITMUS_THREADS_MAX, registersOf } from '../../../../shared/lab/litmus.ts';
import { LITMUS_TESTS } from '../../../../shared/lab/litmus-tests.ts';
import { KIB, MIB } from '../../../../shared/units.ts';

/** Instances of a batch are at most so many: the results of four threads, each with four registers, fit in front of the words. */
export const INSTANCES_MAX = 16 * KIB;
const OUT_BYTES = INSTANCES_MAX * 16;
/** Bytes between instances: neighbours in cache, every other line (processors fetch pairs of them), thirds, one in each page and a bit. */
const STRIDES = [64, 128, 192, 1088] as const;
/** Room for the instances' x, and as much for their y. With a wide stride there are fewer instances. */
const AREA_BYTES = 9 * MIB;
/** y in the cache line of x. */
const SAME_LINE = 16;
/** What a batch needs of the arena, bytes. */
export const LITMUS_BYTES = 20 * MIB;

/** A number from 0 on and below 1. */
type Random = () => number;

/** The instances' x, or their y: `stride` bytes apart from `at` on, instance i at placeOf(i). */
interface Area {
  readonly at: number;
  placeOf(i: number): number;
}

/** Where the instances of a batch lie, in bytes from the arena's start, and what each thread is to do. */
export interface Batch {
  readonly count: number;
  readonly stride: number;
  readonly areas: Readonly<Record<'x' | 'y', Area>>;
  /** By thread: where its registers go, instance by instance. */
  readonly outAt: readonly number[];
  /** By thread: the parameters of its kernel. */
  readonly params: readonly (readonly number[])[];
  /** By thread. */
  readonly cpus: readonly number[];
  readonly paceAt: number;
}

export interface BatchPlace {
  /** Place in LITMUS_TESTS. */
  readonly test: number;
  readonly data: { readonly at: number; readonly bytes: number };
  readonly cpus: readonly number[];
}

/** @throws `ERR_LAB_ACTOR` when the team's data are smaller than LITMUS_BYTES */
export function drawBatch(random: Random, { test, data, cpus }: BatchPlace): Batch {
  if (data.bytes < LITMUS_BYTES)
    throw new HypervisorError(
      'ERR_LAB_ACTOR',
      `litmus tests need ${LITMUS_BYTES} bytes of data, there are ${data.bytes}`,
    );
  const below = (limit: number) => Math.floor(random() * limit);
  const oneOf = <T>(choices: readonly T[], fallback: T) => choices[below(choices.length)] ?? fallback;
  const threads = LITMUS_TESTS[test]?.threads ?? [];

  const stride = oneOf(STRIDES, 64);
  const count = Math.min(INSTANCES_MAX, 2 ** Math.floor(Math.log2(AREA_BYTES / stride))) >>> below(3);
  const isSameLine = below(4) === 0;
  const shuffle = () => ({ mul: oneOf([1, 2 * below(count / 2) + 1], 1), off: below(count) });
  const xOrder = shuffle();
  const yOrder = isSameLine || below(2) === 0 ? xOrder : shuffle();

  const paceAt = data.at;
  const outAt = threads.map((_ops, thread) => data.at + LITMUS_THREADS_MAX * LITMUS_PACE_BYTES + thread * OUT_BYTES);
  const xAt = data.at + LITMUS_THREADS_MAX * (LITMUS_PACE_BYTES + OUT_BYTES);
  const yAt = isSameLine ? xAt + SAME_LINE : xAt + AREA_BYTES;

  // With fewer CPUs than threads somebody is always away: then a short look is all that waiting is good for.
  const looks = cpus.length < threads.length ? 50 : oneOf([300, 1000, 3000], 1000);
  const spin = below(8) === 0 ? 0 : looks;
  const paceMask = oneOf([0, 0, 1, 7], 0);
  const firstCpu = below(cpus.length);

  const params = threads.map((_ops, thread) => {
    const row: Record<keyof typeof LITMUS_PARAM, number> = {
      PROGRAM: test * LITMUS_THREADS_MAX + thread,
      COUNT: count,
      X_AT: xAt,
      Y_AT: yAt,
      STRIDE: stride,
      X_MUL: xOrder.mul,
      X_OFF: xOrder.off,
      Y_MUL: yOrder.mul,
      Y_OFF: yOrder.off,
      OUT_AT: outAt[thread] ?? 0,
      PACE_AT: paceAt,
      SPIN: spin,
      PACE_MASK: paceMask,
      DELAY_MASK: oneOf([0, 0, 7, 31, 127], 0),
      SEED: 1 + below(0xffff_fffe),
    };
    return Object.entries(LITMUS_PARAM)
      .sort(([, a], [, b]) => a - b)
      .map(([name]) => row[name as keyof typeof LITMUS_PARAM]);
  });
  const areaOf = (at: number, { mul, off }: { mul: number; off: number }): Area => ({
    at,
    placeOf: i => at + ((Math.imul(i, mul) + off) & (count - 1)) * stride,
  });
  return {
    count,
    stride,
    areas: { x: areaOf(xAt, xOrder), y: areaOf(yAt, yOrder) },
    outAt,
    params,
    cpus: threads.map((_ops, thread) => cpus[(firstCpu + thread) % cpus.length] ?? 0),
    paceAt,
  };
}

/** Bytes between two instances' registers of a thread. */
export const outStride = (test: number, thread: number): number =>
  4 * registersOf(LITMUS_TESTS[test]?.threads[thread] ?? []).length;
