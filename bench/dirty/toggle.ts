// Turning tracking on and off, and what tracking does to huge pages: what the first write to each of them costs, and how many are
// left. Against C++ that does the same. Main thread.

import type { Baseline } from '../core/baseline.ts';
import type { Measure, Part } from '../core/rounds.ts';
import { MIB, type Plan, sizeText } from './plan.ts';
import { Ours, PAGE, type Side, type SourceName, Theirs } from './sides.ts';
import { contiguous } from './writer-guest.ts';

const BYTES = 256 * MIB;
const PAGES = BYTES / PAGE;
const PAGES_PER_HUGE = 512;

/** Start and stop, of memory that was all written. */
async function openToggle(baseline: Baseline, plan: Plan, source: SourceName): Promise<Part> {
  const vcpus = plan.hasKvm && source !== 'host' ? 1 : 0;
  const options = { source, bytes: BYTES, vcpus };
  const ours = await Ours.open(options);
  const theirs = await Theirs.open(baseline, options);
  const sides = [ours, theirs];
  if (vcpus > 0) for (const side of sides) await side.write('guest', contiguous(PAGES, PAGES, 0));
  const measure = (name: string, sample: (side: Side) => Promise<number>): Measure => ({
    group: `turning tracking on and off, ${sizeText(BYTES)}`,
    name: `${source}, ${name}`,
    unit: 'ns',
    rounds: plan.quick ? 3 : 15,
    warmup: 1,
    ours: () => sample(ours),
    theirs: () => sample(theirs),
  });
  return {
    measures: [
      measure('on', async side => {
        const nanoseconds = await side.start();
        await side.stop();
        return nanoseconds;
      }),
      measure('off', async side => {
        await side.start();
        return side.stop();
      }),
    ],
    async [Symbol.asyncDispose]() {
      for (const side of sides) await side[Symbol.asyncDispose]();
    },
  };
}

interface HugeSample {
  readonly nanoseconds: number;
  readonly left: number;
}

/** Fresh memory in huge pages, written once in each of them by whoever the source sees: what a write costs, and what is huge then. */
async function sampleHuge(open: () => Promise<Side>, source: SourceName, isTracked: boolean): Promise<HugeSample> {
  await using side = await open();
  const writer = source === 'pagemap' ? 'raw' : 'guest';
  if (writer === 'guest') await side.write(writer, contiguous(PAGES, PAGES, 0));
  if (isTracked) {
    await side.start();
    await side.harvest();
  }
  const count = PAGES / PAGES_PER_HUGE;
  const nanoseconds = await side.write(writer, contiguous(PAGES, count, 0, PAGES_PER_HUGE));
  return { nanoseconds: nanoseconds / count, left: side.hugeBytes() };
}

function hugeMeasures(baseline: Baseline, plan: Plan, source: SourceName): Measure[] {
  const options = { source, bytes: BYTES, vcpus: source === 'pagemap' ? 0 : 1, huge: true };
  // The measures show parts of the same samples: each round's is taken by the one that asks first.
  const remember = (take: () => Promise<HugeSample>) => {
    const taken = new Map<number, HugeSample>();
    return async (round: number) => {
      const sample = taken.get(round) ?? (await take());
      taken.set(round, sample);
      return sample;
    };
  };
  const sides = (isTracked: boolean) => ({
    ours: remember(() => sampleHuge(() => Ours.open(options), source, isTracked)),
    theirs: remember(() => sampleHuge(() => Theirs.open(baseline, options), source, isTracked)),
  });
  const measure = (name: string, unit: 'ns' | 'bytes', from: ReturnType<typeof sides>): Measure => ({
    group: `transparent huge pages, ${sizeText(BYTES)}, one write in each`,
    name: `${source}, ${name}`,
    unit,
    rounds: plan.quick ? 1 : 5,
    warmup: 0,
    ours: async round => (({ nanoseconds, left }) => (unit === 'ns' ? nanoseconds : left))(await from.ours(round)),
    theirs: async round => (({ nanoseconds, left }) => (unit === 'ns' ? nanoseconds : left))(await from.theirs(round)),
  });
  const tracked = sides(true);
  const untracked = sides(false);
  return [
    measure('a write, not tracked', 'ns', untracked),
    measure('a write, tracked', 'ns', tracked),
    measure('in huge pages then', 'bytes', tracked),
  ];
}

/** Start and stop of each source; then the huge pages, whose memory is made anew for each round. */
export async function openToggles(baseline: Baseline, plan: Plan): Promise<Part> {
  const parts: Part[] = [];
  for (const source of plan.sources) parts.push(await openToggle(baseline, plan, source));
  const huge = plan.sources.filter(source => source === 'pagemap' || source === 'plain');
  return {
    measures: [
      ...parts.flatMap(part => part.measures),
      ...huge.flatMap(source => hugeMeasures(baseline, plan, source)),
    ],
    async [Symbol.asyncDispose]() {
      for (const part of parts) await part[Symbol.asyncDispose]();
    },
  };
}
