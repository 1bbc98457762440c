// Harvests: from the sources to ranges that JavaScript reads, against C++ with the same ioctls, by source, size, share of dirty pages and
// their pattern. Main thread.

import type { Baseline } from '../core/baseline.ts';
import type { Measure, Part } from '../core/rounds.ts';
import { MIB, type Plan, roundsFor, sizeText } from './plan.ts';
import { Ours, PAGE, type Side, type SourceName, Theirs, type WriterName } from './sides.ts';
import { contiguous, type Pattern, scattered } from './writer-guest.ts';

const PERCENTS = [0, 0.1, 1, 10, 100] as const;
const SMALL = 2 * MIB;
/** A clean harvest takes microseconds: several make a round. */
const CLEAN_HARVESTS = 20;

/** Who dirties the pages. A harvest does not care; a guest takes its time. */
const WRITERS: Record<SourceName, WriterName> = {
  plain: 'guest',
  manual: 'guest',
  ring: 'guest',
  pagemap: 'raw',
  host: 'api',
};

/** Once, before anything is measured: what is measured is compiled code, as in a program that harvests all day. */
export async function warmUp({ sources }: Plan): Promise<void> {
  const pages = (16 * MIB) / PAGE;
  for (const source of sources) {
    const vcpus = WRITERS[source] === 'guest' ? 1 : 0;
    await using ours = await Ours.open({ source, bytes: pages * PAGE, vcpus });
    await ours.start();
    for (let round = 0; round < 2000; round++) {
      if (round % 3 > 0) await ours.write('api', scattered(pages, 16, round));
      await ours.harvest();
    }
  }
}

/** Opens memory of one size with one source, on both sides. */
export async function openHarvest(baseline: Baseline, plan: Plan, source: SourceName, bytes: number): Promise<Part> {
  const writer = WRITERS[source];
  // What is not there has no protection for the kernel's tracking to scan; to the others it is all the same.
  const options = { source, bytes, vcpus: writer === 'guest' ? 1 : 0, populate: source === 'pagemap' };
  const ours = await Ours.open(options);
  const theirs = await Theirs.open(baseline, options);
  // Small ones of the same kind, whose harvests bring the code of a harvest into the processor's caches, on both sides.
  const small = { ...options, bytes: SMALL };
  const oursSmall = await Ours.open(small);
  const theirsSmall = await Theirs.open(baseline, small);
  const sides = [ours, theirs, oursSmall, theirsSmall];
  for (const side of sides) await side.start();
  const rehearse = (on: boolean) => {
    ours.rehearseWith(on ? oursSmall : null);
    theirs.rehearseWith(on ? theirsSmall : null);
  };
  const pages = bytes / PAGE;
  const measures: Measure[] = [];
  for (const percent of PERCENTS) {
    const count = Math.round((pages * percent) / 100);
    const { rounds, warmup } = roundsFor(plan, writer, count);
    // Whoever has little time does not wait for a guest that dirties gigabytes.
    if (plan.quick && count * rounds > 2 ** 18) continue;
    const patterns: [name: string, make: (round: number) => Pattern][] = [
      ['contiguous', round => contiguous(pages, count, (round * 7919) % pages)],
      ['scattered', round => scattered(pages, count, (round * 7919) % pages)],
    ];
    // All or none: there is one pattern only.
    const used = percent === 0 || percent === 100 ? patterns.slice(0, 1) : patterns;
    const measure = (name: string, make: (round: number) => Pattern, rested: boolean): Measure => {
      const sample = async (side: Side, round: number): Promise<number> => {
        rehearse(!rested);
        const times = count === 0 ? CLEAN_HARVESTS : 1;
        if (count > 0) await side.write(writer, make(round));
        const found = await side.harvest(times);
        // More is allowed (a log may have a page too many), fewer never.
        if (found.pages < count) throw new Error(`${source}: ${count} pages were written, ${found.pages} found`);
        return found.nanoseconds / times;
      };
      return {
        group: `harvest to ranges, ${source}, ${sizeText(bytes)}`,
        name: `${percent} % dirty${used.length === 1 ? '' : `, ${name}`}${rested ? ', after a rest' : ''}`,
        unit: 'ns',
        ...(rested ? {} : { goal: { ratio: 1.1 } }),
        rounds,
        warmup,
        ours: round => sample(ours, round),
        theirs: round => sample(theirs, round),
      };
    };
    for (const [name, make] of used) {
      measures.push(measure(name, make, false));
      if (percent === 1) measures.push(measure(name, make, true));
    }
  }
  return {
    measures,
    async [Symbol.asyncDispose]() {
      for (const side of sides) await side[Symbol.asyncDispose]();
    },
  };
}
