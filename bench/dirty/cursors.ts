// What a second cursor costs the first: two memories with the same writes, one with a second cursor beside `memory.harvest()`. Both
// columns are TypeScript. Main thread.

import type { Baseline } from '../core/baseline.ts';
import type { Measure, Part } from '../core/rounds.ts';
import { type Plan, roundsFor, sizeText } from './plan.ts';
import { harvestAll, Ours, PAGE, type SourceName, type WriterName } from './sides.ts';
import { scattered } from './writer-guest.ts';

const PERCENTS = [0, 1, 10] as const;
const CLEAN_HARVESTS = 20;

/** Opens both memories. */
export async function openCursors(_baseline: Baseline, plan: Plan, source: SourceName, bytes: number): Promise<Part> {
  const pages = bytes / PAGE;
  const writer: WriterName = source === 'host' ? 'api' : source === 'pagemap' ? 'raw' : 'guest';
  const options = { source, bytes, vcpus: writer === 'guest' ? 1 : 0, populate: source === 'pagemap' };
  const alone = await Ours.open(options);
  const both = await Ours.open(options);
  await alone.start();
  await both.start();
  const second = both.memory.dirtyCursor('second');
  const measures: Measure[] = [];
  const measure = (percent: number, name: string, goal: boolean, after: 'nothing' | 'harvest' | 'harvest, timed') => {
    const count = Math.round((pages * percent) / 100);
    const times = count === 0 ? CLEAN_HARVESTS : 1;
    const write = (side: Ours, round: number) =>
      count === 0 ? 0 : side.write(writer, scattered(pages, count, (round * 7919) % pages));
    measures.push({
      group: `a second cursor, ${source}, ${sizeText(bytes)}`,
      sides: ['with', 'without'],
      name: `${percent} % dirty, ${name}`,
      unit: 'ns',
      ...(goal ? { goal: { ratio: 1.1 } } : {}),
      ...roundsFor(plan, writer, count),
      ours: async round => {
        await write(both, round);
        const first = harvestAll(() => both.memory.harvest(), times).nanoseconds;
        if (after === 'nothing') return first / times;
        const other = harvestAll(() => second.harvest(), times).nanoseconds;
        return (after === 'harvest' ? first : first + other) / times;
      },
      theirs: async round => {
        await write(alone, round);
        return (await alone.harvest(times)).nanoseconds / times;
      },
    });
  };
  for (const percent of PERCENTS) {
    if (plan.quick && percent === 10) continue;
    measure(percent, 'it only exists', true, 'nothing');
    measure(percent, 'it harvests as often', true, 'harvest');
    measure(percent, 'both together, against one', false, 'harvest, timed');
  }
  return {
    measures,
    async [Symbol.asyncDispose]() {
      second[Symbol.dispose]();
      await alone[Symbol.asyncDispose]();
      await both[Symbol.asyncDispose]();
    },
  };
}
