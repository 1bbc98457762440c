// `--compare a.json b.json`: which rows differ. Made so that two runs of the same code seldom seem to (npm run bench:lab-aa counts how often), which
// costs small differences: each row says how large one had to be to be seen. Pure; imports no part of the machine.

import { median, medianAbsoluteDeviation } from 'simple-statistics';
import type { Estimate, LabReport, MachineFacts, Row } from './report.ts';
import { halfWidth, MAD_TO_SIGMA } from './statistics.ts';

/** What is said of b, held against a. 'doubtful': too much noise to say either. */
export type Verdict = 'faster' | 'slower' | 'same' | 'doubtful' | 'only in a' | 'only in b';

export interface ComparedRow {
  readonly id: string;
  readonly verdict: Verdict;
  /** The rows compared; one of them is absent for 'only in …'. */
  readonly a?: Row;
  readonly b?: Row;
  /** What was compared: the ratios to the C baseline where both rows have them, else the values. Absent for 'only in …'. */
  readonly by?: 'ratio' | 'value';
  /** median of b / median of a - 1: 0.1 = 10 % more of the row's unit, whether that is better or not. This and what follows: absent where a median is 0 or the units differ. */
  readonly change?: number;
  /** How much faster b is: above 1 faster, below 1 slower, whatever the unit. */
  readonly speedup?: number;
  /** The least speed-up (a share: 0.05 = 5 %) that would have been called a difference in this row. */
  readonly needed?: number;
  /** Why it is doubtful, and the doubts of the rows. */
  readonly notes: readonly string[];
}

export interface Comparison {
  readonly rows: readonly ComparedRow[];
  readonly counts: Readonly<Record<Verdict, number>>;
  /** What the C baselines did from a to b. They are the same code in both: it is the machine that did it. */
  readonly machine: {
    /** Median of their speed-ups, - 1. */
    readonly shift: number;
    /** How far each is from that, and how far from those that were measured with it: standard deviations by the MAD, as shares. */
    readonly spread: number;
    readonly within: number;
    readonly baselines: number;
  };
  /** Facts of the machine and of the runs that are not the same in both: differences may come from there. */
  readonly caveats: readonly string[];
}

/**
 * Smaller differences are not called: code's place in memory alone can make them. What the machine does to all code alike is still in a value, not in
 * a ratio.
 */
const LEAST_EFFECT = { ratio: 0.05, value: 0.1 } as const;
/** A difference must be larger than so many standard deviations of what the baselines did from a to b. */
const SPREADS = 3;
/** And than so many times what the row's own baseline did. */
const MARGIN = 1.5;
/** A row in which only differences above it could be seen is not called 'same'. */
const BLUNT = 0.2;

/**
 * Each row of a against the row of b with the same id: rows of a in its order, then those that only b has. Different is what fulfils all of this:
 * the two 95 % intervals do not touch; the medians differ by 5 % (values without a ratio: 10 %) and by more than chance explains, judged by what the C
 * baselines did between the two runs, its own above all; neither row has doubts.
 * Litmus rows are not compared: how often an outcome is seen is chance.
 */
export function compareReports(a: LabReport, b: LabReport): Comparison {
  const others = new Map(b.rows.map(row => [row.id, row]));
  const controls = controlsOf(a.rows, others);
  const { shift, spread, within, baselines } = controls;
  const rows: ComparedRow[] = a.rows.map(row => {
    const other = others.get(row.id);
    if (other === undefined) return { id: row.id, verdict: 'only in a', a: row, notes: [] };
    const moved = controls.moved.get(row.id);
    const byRatio = row.ratio !== undefined && other.ratio !== undefined && moved !== undefined;
    // A ratio has what both sides share taken out; a value has not: it must move further than the machine did.
    const floor = byRatio
      ? Math.max(LEAST_EFFECT.ratio, Math.expm1(Math.max(MARGIN * Math.abs(moved), SPREADS * within)))
      : Math.max(LEAST_EFFECT.value, Math.expm1(Math.abs(shift) + SPREADS * spread));
    return compareRows(row, other, byRatio, floor);
  });
  const known = new Set(a.rows.map(row => row.id));
  for (const row of b.rows) if (!known.has(row.id)) rows.push({ id: row.id, verdict: 'only in b', b: row, notes: [] });
  const counts = { faster: 0, slower: 0, same: 0, doubtful: 0, 'only in a': 0, 'only in b': 0 };
  for (const { verdict } of rows) counts[verdict] += 1;
  const machine = { shift: Math.expm1(shift), spread: Math.expm1(spread), within: Math.expm1(within), baselines };
  return { rows, counts, machine, caveats: caveatsOf(a, b) };
}

/** What the baselines did from a to b, as natural logarithms of speed-ups. */
interface Controls {
  readonly shift: number;
  readonly spread: number;
  readonly within: number;
  readonly baselines: number;
  /** How far a row's baseline moved away from the others that were measured with it. */
  readonly moved: ReadonlyMap<string, number>;
}

/**
 * Rows of a group were measured together, and each has a baseline of its own: they are the same code, at the same time. What moves them all, a
 * ratio does not see; what moves one of them away from the others is what chance does to a ratio.
 */
function controlsOf(rows: readonly Row[], others: ReadonlyMap<string, Row>): Controls {
  const found: { readonly id: string; readonly group: string; readonly shift: number }[] = [];
  for (const row of rows) {
    const baseline = others.get(row.id)?.baseline;
    if (row.baseline === undefined || baseline === undefined) continue;
    const shift = Math.log(speedupOf(row, row.baseline, baseline));
    const group = JSON.stringify([row.suite, row.workload, row.parameters]);
    if (Number.isFinite(shift)) found.push({ id: row.id, group, shift });
  }
  const moved = new Map<string, number>();
  for (const each of found) {
    const rest = found.filter(other => other !== each);
    const together = rest.filter(other => other.group === each.group);
    moved.set(each.id, each.shift - medianOf((together.length > 0 ? together : rest).map(({ shift }) => shift)));
  }
  const shifts = found.map(({ shift }) => shift);
  return {
    shift: medianOf(shifts),
    spread: spreadOf(shifts),
    within: spreadOf([...moved.values()]),
    baselines: found.length,
    moved,
  };
}

const medianOf = (values: number[]) => (values.length === 0 ? 0 : median(values));
const spreadOf = (values: number[]) => (values.length === 0 ? 0 : MAD_TO_SIGMA * medianAbsoluteDeviation(values));

const speedupOf = ({ better }: Row, a: Estimate, b: Estimate) =>
  better === 'higher' ? b.median / a.median : a.median / b.median;

function compareRows(a: Row, b: Row, byRatio: boolean, floor: number): ComparedRow {
  const [one, two] =
    byRatio && a.ratio !== undefined && b.ratio !== undefined ? [a.ratio, b.ratio] : [a.value, b.value];
  const speedup = speedupOf(a, one, two);
  const apart = one.interval.high < two.interval.low || two.interval.high < one.interval.low;
  // As a factor, the same in both directions: 1.25 times as fast is as far away as 1 / 1.25.
  const distance = Math.max(speedup, 1 / speedup) - 1;
  const needed = Math.max(floor, halfWidth(one) + halfWidth(two));
  const notes = [...new Set([...a.doubts.map(doubt => `a: ${doubt}`), ...b.doubts.map(doubt => `b: ${doubt}`)])];
  const common = { id: a.id, a, b, by: byRatio ? 'ratio' : 'value', notes } as const;
  if (!Number.isFinite(distance) || !Number.isFinite(needed)) {
    notes.push('a median is 0: nothing to compare');
    return { ...common, verdict: 'doubtful' };
  }
  if (a.unit !== b.unit || a.better !== b.better) {
    notes.push(`${a.unit}, ${a.better} is better, in a; ${b.unit}, ${b.better} is better, in b: not the same figure`);
    return { ...common, verdict: 'doubtful' };
  }
  let verdict: Verdict = 'same';
  if (apart && distance >= floor) verdict = notes.length > 0 ? 'doubtful' : speedup > 1 ? 'faster' : 'slower';
  else if (needed > BLUNT) {
    verdict = 'doubtful';
    notes.push(`only a difference above ${Math.round(needed * 100)} % could have been seen`);
  }
  return { ...common, verdict, change: two.median / one.median - 1, speedup, needed };
}

const COMPARED_FACTS = ['cpu', 'cpus', 'memoryBytes', 'kernel', 'kvm', 'node', 'v8', 'governor'] as const;

function caveatsOf(a: LabReport, b: LabReport): string[] {
  const caveats = COMPARED_FACTS.filter(key => a.machine[key] !== b.machine[key]).map(
    key => `${key}: ${a.machine[key]} in a, ${b.machine[key]} in b`,
  );
  const lists = ['pinned', 'flags'] as const satisfies readonly (keyof MachineFacts)[];
  for (const key of lists) {
    const [mine, other] = [a.machine[key].join(' '), b.machine[key].join(' ')];
    if (mine !== other) caveats.push(`${key}: ${mine || 'none'} in a, ${other || 'none'} in b`);
  }
  for (const key of ['visits', 'repetitions', 'repetitionMs'] as const) {
    if (a.scenario[key] !== b.scenario[key]) caveats.push(`${key}: ${a.scenario[key]} in a, ${b.scenario[key]} in b`);
  }
  if (a.version !== b.version) caveats.push(`version: ${a.version} in a, ${b.version} in b`);
  if (a.interrupted || b.interrupted)
    caveats.push(`${a.interrupted ? (b.interrupted ? 'both runs' : 'a') : 'b'} ended early`);
  return caveats;
}
