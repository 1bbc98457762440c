// How much is measured: sizes, shares and how many rounds there is time for. Main thread.

import type { SourceName } from './sides.ts';

export const MIB = 2 ** 20;
export const GIB = 2 ** 30;

/** What was asked for. */
export interface Plan {
  readonly quick: boolean;
  /** Those that work here, and were asked for. */
  readonly sources: readonly SourceName[];
  readonly sizes: readonly number[];
  readonly hasKvm: boolean;
}

export const sizeText = (bytes: number) => (bytes >= GIB ? `${bytes / GIB} GiB` : `${bytes / MIB} MiB`);

/** Nanoseconds that one page takes to be dirtied, about and on both sides together: it is what rounds take most of their time for. */
const WRITE_NS = { guest: 12_000, api: 100, raw: 2_500 };
const ROUND_NS = 1_500_000;

/** Rounds that fit into the measure's share of the time, of which some are needed to warm up. */
export function roundsFor(
  plan: Plan,
  writer: keyof typeof WRITE_NS,
  pages: number,
): { rounds: number; warmup: number } {
  const budget = plan.quick ? 100e6 : 700e6;
  const total = Math.min(plan.quick ? 40 : 200, Math.floor(budget / (ROUND_NS + pages * WRITE_NS[writer])));
  // One at least: the first harvest of so many pages makes the room for its ranges.
  const warmup = Math.max(1, Math.floor(total / 5));
  return { rounds: Math.max(2, total - warmup), warmup };
}
