// Measures a group of variants so that they can be held against each other: warm-up until stable, then visits in turns, in a seeded order, each next to
// those of its C baseline and its peers. Main thread; sleeps while actors work. Knows no workload and no team: only what workload.ts says of a variant.

import { median, shuffle } from 'simple-statistics';
import { HypervisorError, isHypervisorError } from '../../../shared/errors.ts';
import { type CpuTimes, cpuTimes, shareOf } from './machine-facts.ts';
import type { Estimate, Row } from './report.ts';
import type { Scenario } from './scenario.ts';
import { estimate, halfWidth, LatencyCounter, ratioEstimate, seededRandom } from './statistics.ts';
import type { OpenVariant, Variant } from './workload.ts';

export interface MeasureHooks {
  /** Called before each warm-up and each visit of a variant: the share of the group that is done, 0 to 1, and the id of what comes now. */
  progress(share: number, what: string): void;
  /** Ends the group after the repetition under way: rows are made of the visits that were complete. */
  readonly signal?: AbortSignal;
  /** Reads the machine's CPU times. Default: {@link cpuTimes}. */
  readonly readTimes?: () => CpuTimes;
}

/** What of a scenario is asked for here. */
export type Sampling = Pick<Scenario, 'seed' | 'visits' | 'extraVisits' | 'repetitions' | 'repetitionMs'>;

/** Work is multiplied by so much at most: counts are 32 bits wide in the actors. */
const SCALE_MAX = 1 << 20;
/** The scale grows by this at most at once: the first repetitions are slower than what follows. */
const SCALE_STEP = 16;
/** It stays while repetitions take between 1 / SLACK and SLACK times what was asked for. */
const SLACK = 1.5;
/**
 * Stable: the medians of two successive windows of so many repetitions differ by less than this share, or by no more than repetitions do anyway (each lies
 * within the other window).
 */
const WINDOW = 3;
const STABLE = 0.05;
/** The warm-up of a side takes the time of so many repetitions at most. */
const WARM_UP_REPETITIONS = 50;
/** Extra visits come in portions of at least this share of those made already: who looks after each visit stops at the first interval that is short by chance. */
const PORTION = 0.25;
/** Doubts: the median is known no better than this; so much of the CPUs' time was stolen, or others worked; too few visits for an interval of 95 %. */
const UNCERTAIN = 0.1;
const DISTURBED = 0.1;
const VISITS_LEAST = 5;

/** A variant, its baseline or a peer of it, while it is measured. */
interface Side {
  /** '' for the variant's own. */
  readonly name: string;
  readonly open: OpenVariant;
  readonly visits: (readonly number[])[];
  readonly latencies: LatencyCounter;
  scale: number;
  /** Repetitions of a visit that count, and those before them that don't. */
  counted: number;
  ignored: number;
  /** Its figure was not seen to stay the same before the warm-up's time was over. */
  unstable: boolean;
}

/** One row to be, with its sides open. */
interface Entry {
  readonly variant: Variant;
  readonly id: string;
  readonly own: Side;
  readonly baseline: Side | undefined;
  readonly peers: readonly (readonly [name: string, side: Side])[];
  readonly sides: Side[];
}

/** `${suite}/${workload}/${actors}/${parameters}`, parameters as 'bytes=65536,stride=64' in the variant's order; the last slash only with them. */
export function rowId({ suite, workload, actors, parameters }: Variant): string {
  const pairs = Object.entries(parameters).map(([key, value]) => `${key}=${value}`);
  return [suite, workload, actors, ...(pairs.length > 0 ? [pairs.join(',')] : [])].join('/');
}

/**
 * Rows of all variants, in their order. All are open at the same time, baselines and peers too, and take turns: what one lays out in memory that others
 * write as well must be laid out anew in each `repeat`. The first repetition of a visit finds what another left in the caches and does not count.
 *
 * Takes about visits × (repetitions + 1) × repetitionMs for each side, and the warm-up; a variant of fixed scale whose repetition is longer gets fewer
 * of them, one at least. Then rows that are known to more than ± 10 % only get more visits, extraVisits for each variant of the group together: as many as their
 * intervals ask for, those that need the fewest first. When the signal aborts, resolves with what it has: rows of fewer visits, or none. Rejects with what a variant rejects with, for
 * a baseline or a peer with its name before the message, and with `ERR_LAB_RESULT` for a figure that is no number from 0 on. All variants are closed
 * when it settles.
 */
export async function measureGroup(
  variants: readonly Variant[],
  sampling: Sampling,
  hooks: MeasureHooks,
): Promise<Row[]> {
  const opened: OpenVariant[] = [];
  let rows: Row[];
  try {
    rows = await measureOpened(variants, sampling, hooks, async opening => {
      const open = await opening;
      opened.push(open);
      return open;
    });
  } catch (error) {
    // What went wrong first is what is told.
    await closeAll(opened).catch(() => {});
    throw error;
  }
  await closeAll(opened);
  return rows;
}

/** Opens, warms up, visits. `keep` takes note of what is open. */
async function measureOpened(
  variants: readonly Variant[],
  sampling: Sampling,
  { progress, signal, readTimes = cpuTimes }: MeasureHooks,
  keep: (opening: Promise<OpenVariant>) => Promise<OpenVariant>,
): Promise<Row[]> {
  const random = seededRandom(sampling.seed);
  const turns = variants.length * (sampling.visits + sampling.extraVisits + 1);
  const entries: Entry[] = [];
  for (const variant of variants) {
    if (signal?.aborted) return [];
    progress(entries.length / turns, rowId(variant));
    if (variant.peerWorks !== undefined && !(await variant.peerWorks())) continue;
    const entry = await openEntry(variant, keep);
    entries.push(entry);
    for (const side of entry.sides) await warmUp(entry, side, sampling, signal);
  }
  const before = readTimes();
  let done = entries.length;
  const visitAll = async (round: readonly Entry[]) => {
    for (const entry of shuffle([...round], random)) {
      if (signal?.aborted) return;
      progress(done++ / turns, entry.id);
      await visitSides(entry, random, signal);
    }
  };
  for (let visit = 0; visit < sampling.visits; visit += 1) await visitAll(entries);
  for (let left = variants.length * sampling.extraVisits; left > 0; ) {
    const round = signal?.aborted ? [] : extraRound(entries, left, sampling.seed);
    if (round.length === 0) break;
    left -= round.length;
    await visitAll(round);
  }
  const after = readTimes();
  const stolen = shareOf('stolen', before, after);
  // Peers may be processes of their own: what they work is none of others'.
  const hasPeers = entries.some(({ variant, peers }) => variant.peerWorks !== undefined || peers.length > 0);
  const machine = { stolen, others: hasPeers ? 0 : shareOf('others', before, after) };
  return entries.filter(({ own }) => own.visits.length > 0).map(entry => rowOf(entry, sampling, machine));
}

/**
 * Visits of rows that are not known well enough, `left` at most, each as often as it should need: an interval becomes shorter with the root of the visits.
 * Rows that would need more than are left get none: they would stay doubtful, and others would have to go without.
 */
function extraRound(entries: readonly Entry[], left: number, seed: number): Entry[] {
  const wanting = entries.flatMap(entry => {
    const { value, ratio } = estimatesOf(entry, seededRandom(seed));
    const width = halfWidth(ratio ?? value);
    if (width <= UNCERTAIN || !Number.isFinite(width)) return [];
    const made = entry.own.visits.length;
    return [{ entry, needed: Math.ceil(made * Math.max(PORTION, (width / UNCERTAIN) ** 2 - 1)) }];
  });
  const round: Entry[] = [];
  for (const { entry, needed } of wanting.sort((a, b) => a.needed - b.needed)) {
    if (round.length + needed > left) break;
    round.push(...Array.from({ length: needed }, () => entry));
  }
  return round;
}

/** What works for one side: the errors of a baseline or a peer are not to be taken for the variant's own. */
async function named<T>(name: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (name === '' || !isHypervisorError(error)) throw error;
    const { code, errno, message } = error;
    throw new HypervisorError(code, `${name}: ${message}`, { cause: error, ...(errno === undefined ? {} : { errno }) });
  }
}

const BASELINE = 'C baseline';

async function openEntry(variant: Variant, keep: (opening: Promise<OpenVariant>) => Promise<OpenVariant>) {
  const side = async (name: string, opening: Promise<OpenVariant>): Promise<Side> => ({
    name,
    open: await named(name, keep(opening)),
    visits: [],
    latencies: new LatencyCounter(),
    scale: 1,
    counted: 1,
    ignored: 0,
    unstable: true,
  });
  const own = await side('', variant.open());
  const baseline = variant.openBaseline && (await side(BASELINE, variant.openBaseline()));
  const peers: [string, Side][] = [];
  for (const [name, open] of Object.entries(variant.peers ?? {})) {
    const peer = await open();
    if (peer !== undefined) peers.push([name, await side(`peer ${name}`, Promise.resolve(peer))]);
  }
  const sides = [own, ...(baseline ? [baseline] : []), ...peers.map(([, peer]) => peer)];
  return { variant, id: rowId(variant), own, baseline, peers, sides } satisfies Entry;
}

/** Last opened, first closed; all of them, whatever one says. */
async function closeAll(opened: readonly OpenVariant[]): Promise<void> {
  const failures: unknown[] = [];
  for (const open of [...opened].reverse()) {
    try {
      await open[Symbol.asyncDispose]();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

async function repeat(entry: Entry, side: Side) {
  const sample = await named(side.name, side.open.repeat(side.scale));
  if (Number.isFinite(sample.value) && sample.value >= 0) return sample;
  const whose = side.name === '' ? entry.id : `${entry.id}, ${side.name}`;
  throw new HypervisorError('ERR_LAB_RESULT', `${whose}: a repetition's figure is ${sample.value}`);
}

/** Finds the scale and how many repetitions make a visit, and repeats until the figure no longer moves, or for as long as that may take. */
async function warmUp(entry: Entry, side: Side, sampling: Sampling, signal?: AbortSignal): Promise<void> {
  const { repetitions, repetitionMs } = sampling;
  const limitMs = WARM_UP_REPETITIONS * repetitionMs;
  const deadline = performance.now() + limitMs;
  let before: number[] = [];
  let values: number[] = [];
  const times: number[] = [];
  for (let made = 1; !signal?.aborted; made += 1) {
    const start = performance.now();
    values.push((await repeat(entry, side)).value);
    times.push(performance.now() - start);
    const scale = entry.variant.fixedScale ? 1 : fittingScale(side, repetitionMs);
    if (scale !== side.scale) {
      side.scale = scale;
      before = [];
      values = [];
      times.length = 0;
    }
    // What most take: a single one that was held up must not decide how many there will be.
    const tookMs = times.length > 0 ? median(times) : 0;
    // A visit takes the time that it was given: less work than scale 1 there is not. One repetition that takes all of it warms its own caches.
    const fitting = scale > 1 ? repetitions : Math.floor((repetitions * SLACK * repetitionMs) / tookMs);
    side.counted = Math.max(1, Math.min(repetitions, fitting));
    side.ignored = fitting >= 1 ? 1 : 0;
    if (values.length === WINDOW) {
      if (before.length > 0 && isSteady(before, values)) {
        side.unstable = false;
        return;
      }
      before = values;
      values = [];
    }
    // Two windows can be compared, if one repetition alone does not take longer than all of the time.
    if (performance.now() > deadline && (made >= 2 * WINDOW || tookMs > limitMs)) return;
  }
}

/** Whether nothing has changed between two windows, as far as their own noise lets see. */
function isSteady(before: readonly number[], now: readonly number[]): boolean {
  const [was, is] = [median([...before]), median([...now])];
  const isWithin = (value: number, window: readonly number[]) =>
    value >= Math.min(...window) && value <= Math.max(...window);
  return Math.abs(is - was) <= STABLE * was || (isWithin(is, before) && isWithin(was, now));
}

/** The scale with which a repetition takes the time asked for, judged by the last one; the present one when that is near enough. */
function fittingScale({ scale, open: { lastNs } }: Side, repetitionMs: number): number {
  const factor = (repetitionMs * 1e6) / Math.max(1, lastNs);
  if (factor < SLACK && factor > 1 / SLACK) return scale;
  return Math.max(1, Math.min(SCALE_MAX, Math.round(scale * Math.min(factor, SCALE_STEP))));
}

/** A visit of each side, one after the other. All count, or, when the signal aborts meanwhile, none. */
async function visitSides(entry: Entry, random: () => number, signal?: AbortSignal): Promise<void> {
  const kept: (() => void)[] = [];
  for (const side of shuffle(entry.sides, random)) {
    const values: number[] = [];
    const latencies: ArrayLike<number>[] = [];
    for (let i = 0; i < side.ignored + side.counted; i += 1) {
      if (signal?.aborted) return;
      const { value, latenciesNs } = await repeat(entry, side);
      if (i < side.ignored) continue;
      values.push(value);
      if (latenciesNs !== undefined) latencies.push(latenciesNs);
    }
    kept.push(() => {
      side.visits.push(values);
      for (const samples of latencies) side.latencies.add(samples);
    });
  }
  for (const keep of kept) keep();
}

/** What a row is judged by: its ratio where there is one, else its value. */
function estimatesOf({ own, baseline }: Pick<Entry, 'own' | 'baseline'>, random: () => number) {
  const value = estimate(own.visits, random);
  const base = baseline && estimate(baseline.visits, random);
  const ratio = baseline && ratioEstimate(own.visits, baseline.visits, random);
  return { value, base, ratio };
}

function rowOf({ variant, id, own, baseline, peers }: Entry, { seed, visits }: Sampling, machine: Disturbance): Row {
  const random = seededRandom(seed);
  const { value, base, ratio } = estimatesOf({ own, baseline }, random);
  const latency = own.open.latency ?? own.latencies.result();
  const { series } = own.open;
  const { suite, workload, actors, count, parameters, unit, better } = variant;
  return {
    id,
    suite,
    workload,
    actors,
    count,
    parameters,
    unit,
    better,
    value,
    ...(base && { baseline: base }),
    ...(ratio && { ratio }),
    ...(peers.length > 0 && {
      peers: Object.fromEntries(peers.map(([name, side]) => [name, estimate(side.visits, random)])),
    }),
    ...(latency && { latency }),
    ...(series && { series }),
    doubts: doubtsOf({ own, ratio, value, visits, machine }),
  };
}

/** Shares of the CPUs' time during the visits. */
interface Disturbance {
  readonly stolen: number;
  readonly others: number;
}

interface Doubtful {
  readonly own: Side;
  readonly value: Estimate;
  readonly ratio: Estimate | undefined;
  readonly visits: number;
  readonly machine: Disturbance;
}

/** Only what is still there in what the row is judged by: the ratio where there is one. */
function doubtsOf({ own, value, ratio, visits, machine }: Doubtful): string[] {
  const percent = (share: number) => `${Math.round(share * 100)} %`;
  const doubts: string[] = [];
  if (own.visits.length < visits) doubts.push(`${own.visits.length} of ${visits} visits: the run ended early`);
  if (own.visits.length < VISITS_LEAST) doubts.push(`an interval takes at least ${VISITS_LEAST} visits`);
  const width = halfWidth(ratio ?? value);
  if (width > UNCERTAIN) {
    const what = ratio === undefined ? 'the median' : 'the ratio';
    doubts.push(Number.isFinite(width) ? `${what} is known to ± ${percent(width)} only` : `${what} is 0`);
  }
  if (own.unstable && width > STABLE) doubts.push('did not become stable in the warm-up');
  const { stolen, others } = machine;
  if (stolen > DISTURBED) doubts.push(`${percent(stolen)} of the CPUs' time was stolen`);
  if (others > DISTURBED) doubts.push(`other programs worked ${percent(others)} of the CPUs' time`);
  return doubts;
}
