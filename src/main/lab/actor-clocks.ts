// What taking the time costs each kind of actor, and how fast the guests' time-stamp counter runs: measured once, when a team is opened. Main thread.

import { setTimeout as sleep } from 'node:timers/promises';
import { median } from 'simple-statistics';
import { LAB_LAYOUT } from '../../../shared/lab/control.ts';
import type { ActorKind } from './report.ts';
import type { Order } from './workload.ts';

export interface ActorClocks {
  /** A repetition of nothing: two times and the call of a kernel, ns. */
  readonly clockNs: Readonly<Partial<Record<ActorKind, number>>>;
  /** Of the time-stamp counter; 1 without guests. */
  readonly ticksPerNs: number;
}

/** One actor's repetition, in its own clock: ns of CLOCK_MONOTONIC, or ticks of a guest's counter. */
export interface Clocked {
  readonly ticks: number;
  /** In the actor's own clock. */
  readonly end: bigint;
  /** ns of CLOCK_MONOTONIC shortly after `end`; of guests only. */
  readonly gate: bigint;
  readonly values: readonly bigint[];
}

/** The median of the last half counts. */
const CLOCK_RUNS = 100;
/** Pairs of counter and clock, so far apart that what an exit from the guest takes (some 10 µs, ± a few) is lost between them. */
export const COUNTER_PAIRS = 32;
export const COUNTER_SPAN_MS = 100;

export async function measureClocks(
  counts: Readonly<Record<ActorKind, number>>,
  perform: (orders: readonly Order[]) => Promise<readonly Clocked[]>,
): Promise<ActorClocks> {
  const nothing = async (kind: ActorKind): Promise<Clocked> => {
    const order: Order = { actor: { kind, index: 0 }, kernel: 'increment', params: [LAB_LAYOUT.DATA, 0] };
    const [clocked] = await perform([order]);
    if (clocked === undefined) throw new RangeError('no result of an order');
    return clocked;
  };
  const pairs = async (): Promise<Clocked[]> => {
    const found: Clocked[] = [];
    for (let i = 0; i < COUNTER_PAIRS; i++) found.push(await nothing('guest'));
    return found;
  };
  const early = counts.guest > 0 ? { pairs: await pairs(), at: performance.now() } : undefined;
  const ticks: Partial<Record<ActorKind, number>> = {};
  for (const kind of Object.keys(counts) as ActorKind[]) {
    if (counts[kind] === 0) continue;
    const runs: number[] = [];
    for (let i = 0; i < CLOCK_RUNS; i++) runs.push((await nothing(kind)).ticks);
    ticks[kind] = median(runs.slice(CLOCK_RUNS / 2));
  }
  if (early === undefined) return { clockNs: ticks, ticksPerNs: 1 };
  await sleep(Math.max(0, COUNTER_SPAN_MS - (performance.now() - early.at)));
  const ticksPerNs = counterRate(early.pairs, await pairs());
  return { clockNs: { ...ticks, guest: (ticks.guest ?? 0) / ticksPerNs }, ticksPerNs };
}

/** Ticks per ns: the median slope between early and late pairs. Single late arrivals at the gate don't matter. */
export function counterRate(
  early: readonly Pick<Clocked, 'end' | 'gate'>[],
  late: readonly Pick<Clocked, 'end' | 'gate'>[],
): number {
  const slopes = late.map((pair, i) => {
    const before = early[i] ?? pair;
    return Number(pair.end - before.end) / Number(pair.gate - before.gate);
  });
  return median(slopes);
}
