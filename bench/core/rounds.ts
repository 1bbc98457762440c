// Rounds: TypeScript and C alternate, and the ratio is taken within each pair of rounds, so that whatever slows the machine
// down for longer than a round slows both. Main thread.

import { createHistogram } from 'node:perf_hooks';
import cliProgress from 'cli-progress';

/** What a measure is held against: the median of the ratios, or TypeScript's own median. */
export type Goal = { readonly ratio: number } | { readonly value: number };

/** One line of the report. */
export interface Measure {
  /** The heading it stands under, and its name there. */
  readonly group: string;
  readonly name: string;
  readonly unit: 'ns' | 'bytes';
  readonly goal?: Goal;
  /** What the two columns are, for the whole group, where they are not TypeScript and C++. */
  readonly sides?: readonly [ours: string, theirs: string];
  /** Rounds of each side that count, and those before them that don't (the JIT's, the caches'). */
  readonly rounds: number;
  readonly warmup: number;
  /** One round (0, 1, …, those of the warm-up included): nanoseconds for each operation, or bytes. */
  ours(round: number): Promise<number> | number;
  theirs(round: number): Promise<number>;
}

/** What a part of the benchmark offers: its measures, open until it is disposed. */
export interface Part extends AsyncDisposable {
  readonly measures: readonly Measure[];
}

export interface Spread {
  readonly median: number;
  readonly p5: number;
  readonly p95: number;
}

export interface Result {
  readonly group: string;
  readonly name: string;
  readonly unit: 'ns' | 'bytes';
  readonly rounds: number;
  readonly ours: Spread;
  readonly theirs: Spread;
  /** Of the pairs' ratios, ours / theirs. */
  readonly ratio: Spread;
  readonly sides?: readonly [ours: string, theirs: string];
  readonly goal?: Goal;
  readonly met?: boolean;
}

/** Runs one measure after the other, under a progress bar where standard error is a terminal. */
export async function runMeasures(measures: readonly Measure[]): Promise<Result[]> {
  const results: Result[] = [];
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    format: '{bar} {what}',
  });
  for (const measure of measures) {
    bar.start(1, 0, { what: `${measure.group}: ${measure.name}` });
    try {
      results.push(await runRounds(measure, share => bar.update(share)));
    } finally {
      bar.stop();
    }
  }
  return results;
}

/** Runs both sides in turns; `progress` is called with the share that is done. */
async function runRounds(measure: Measure, progress: (share: number) => void): Promise<Result> {
  const ours: number[] = [];
  const theirs: number[] = [];
  const total = measure.warmup + measure.rounds;
  for (let round = 0; round < total; round += 1) {
    progress(round / total);
    let mine: number;
    let other: number;
    // Who goes first changes with each pair: neither side always finds the caches that the other left.
    if (round % 2 === 0) {
      mine = await measure.ours(round);
      other = await measure.theirs(round);
    } else {
      other = await measure.theirs(round);
      mine = await measure.ours(round);
    }
    if (round < measure.warmup) continue;
    ours.push(mine);
    theirs.push(other);
  }
  const { group, name, unit, rounds, goal, sides } = measure;
  const result = {
    group,
    name,
    unit,
    ...(sides === undefined ? {} : { sides }),
    rounds,
    ours: spread(ours),
    theirs: spread(theirs),
    ratio: spread(ours.map((value, index) => ratioOf(value, theirs[index] ?? Number.NaN))),
  };
  if (goal === undefined) return result;
  return {
    ...result,
    goal,
    met: 'ratio' in goal ? result.ratio.median <= goal.ratio : result.ours.median <= goal.value,
  };
}

/** Nothing on both sides is the same on both sides. */
const ratioOf = (ours: number, theirs: number) => (ours === theirs ? 1 : ours / theirs);

/** A histogram holds integers from 1 on: values go in as thousandths, at three significant digits and better. */
function spread(values: readonly number[]): Spread {
  const highest = Number.MAX_SAFE_INTEGER;
  const histogram = createHistogram({ lowest: 1, highest, figures: 4 });
  for (const value of values) histogram.record(Math.min(highest, Math.max(1, Math.round(value * 1000))));
  return {
    median: histogram.percentile(50) / 1000,
    p5: histogram.percentile(5) / 1000,
    p95: histogram.percentile(95) / 1000,
  };
}
