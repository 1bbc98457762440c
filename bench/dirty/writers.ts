// What tracking costs those who write: the first store to a page after a harvest, by the guest, through the API and by raw stores, with each
// source that could see it, against C++ with the same source and against no tracking. Main thread.

import type { Baseline } from '../core/baseline.ts';
import type { Measure, Part } from '../core/rounds.ts';
import { MIB, type Plan, roundsFor } from './plan.ts';
import { Ours, PAGE, type Side, type SourceName, Theirs, type WriterName } from './sides.ts';
import { contiguous, scattered } from './writer-guest.ts';

const BYTES = 256 * MIB;
const PAGES = BYTES / PAGE;
/** The pages written in a round: enough that a round's fixed cost (an exit and an entry) is lost among them. */
const COUNT = PAGES / 16;

const WRITERS: Record<WriterName, string> = {
  guest: 'by the guest',
  api: 'through the API',
  raw: 'by raw stores',
};

/** Which writers a source does something for at the time of the write. */
const CONCERNED: Record<SourceName, readonly WriterName[]> = {
  plain: ['guest', 'api'],
  manual: ['guest'],
  ring: ['guest'],
  pagemap: ['guest', 'api', 'raw'],
  host: ['api'],
};

/** The first write after a harvest, per page. */
async function firstWrite(side: Side, writer: WriterName, round: number, tracked: boolean): Promise<number> {
  if (tracked) await side.harvest();
  return (await side.write(writer, scattered(PAGES, COUNT, (round * 7919) % PAGES))) / COUNT;
}

/** Opens memory of each source, and memory that nobody tracks. */
export async function openWriters(baseline: Baseline, plan: Plan): Promise<Part> {
  const opened: AsyncDisposable[] = [];
  const open = async (source: SourceName, vcpus: number) => {
    const options = { source, bytes: BYTES, vcpus };
    const ours = await Ours.open(options);
    opened.push(ours);
    const theirs = await Theirs.open(baseline, options);
    opened.push(theirs);
    // Mapped by the guest before it is measured: what is measured is tracking, not the first access.
    if (vcpus > 0) for (const side of [ours, theirs]) await side.write('guest', contiguous(PAGES, PAGES, 0));
    return { ours, theirs };
  };
  const vcpus = plan.hasKvm ? 1 : 0;
  const untracked = await open(plan.hasKvm ? 'plain' : 'host', vcpus);
  // Groups stand together in the report.
  const without: Measure[] = [];
  const after: Measure[] = [];
  const against: Measure[] = [];
  const writers = (Object.keys(WRITERS) as WriterName[]).filter(writer => plan.hasKvm || writer !== 'guest');
  for (const writer of writers) {
    without.push({
      group: 'first write to a page, not tracked',
      name: WRITERS[writer],
      unit: 'ns',
      ...roundsFor(plan, writer, COUNT),
      ours: round => firstWrite(untracked.ours, writer, round, false),
      theirs: round => firstWrite(untracked.theirs, writer, round, false),
    });
  }
  for (const source of plan.sources) {
    const tracked = await open(source, source === 'host' ? 0 : vcpus);
    for (const side of [tracked.ours, tracked.theirs]) await side.start();
    const concerned = CONCERNED[source].filter(writer => writers.includes(writer));
    for (const writer of concerned) {
      after.push({
        group: 'first write to a page after a harvest',
        name: `${source}, ${WRITERS[writer]}`,
        unit: 'ns',
        ...roundsFor(plan, writer, COUNT),
        ours: round => firstWrite(tracked.ours, writer, round, true),
        theirs: round => firstWrite(tracked.theirs, writer, round, true),
      });
    }
    for (const writer of concerned) {
      against.push({
        group: 'the same in TypeScript, against no tracking',
        sides: ['tracked', 'not tracked'],
        name: `${source}, ${WRITERS[writer]}`,
        unit: 'ns',
        ...roundsFor(plan, writer, COUNT),
        ours: round => firstWrite(tracked.ours, writer, round, true),
        theirs: round => firstWrite(untracked.ours, writer, round, false),
      });
    }
  }
  return {
    measures: [...without, ...after, ...against],
    async [Symbol.asyncDispose]() {
      for (const side of opened) await side[Symbol.asyncDispose]();
    },
  };
}
