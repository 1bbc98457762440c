// `npm run bench:dirty`: what dirty tracking costs, measured side by side with C++ that makes the same ioctls in the same run. Main thread.
// A missed goal is printed as missed and does not fail the run; a harvest that misses a page does.

import { writeFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { parseArgs } from 'node:util';
import { HypervisorError, probe } from 'node-kvm';
import { Baseline, compileCommand } from './core/baseline.ts';
import { describeMachine, type Report, render, type Skipped } from './core/report.ts';
import { type Part, type Result, runMeasures } from './core/rounds.ts';
import { openCursors } from './dirty/cursors.ts';
import { openHarvest, warmUp } from './dirty/harvest.ts';
import { PERF_TEST_USAGE, perfTest } from './dirty/perf-test.ts';
import { GIB, MIB, type Plan, sizeText } from './dirty/plan.ts';
import { Ours, type SourceName } from './dirty/sides.ts';
import { openToggles } from './dirty/toggle.ts';
import { openWriters } from './dirty/writers.ts';

const PARTS = ['harvest', 'writers', 'cursors', 'toggle'] as const;
const SOURCES = ['plain', 'manual', 'ring', 'pagemap', 'host'] as const;
const SIZES = { '256M': 256 * MIB, '4G': 4 * GIB };
const USAGE = `usage: npm run bench:dirty -- [--quick] [--json <file>] [--only <part>] [--source <source>] [--size <size>]
  --quick            few rounds: under 40 seconds
  --json <file>      the results as JSON, too; - for standard output, and no table
  --only <part>      one of: ${PARTS.join(', ')}
  --source <source>  one of: ${SOURCES.join(', ')}; may be repeated
  --size <size>      one of: 256M, 4G
${PERF_TEST_USAGE}`;

interface Options {
  readonly quick: boolean;
  readonly json: string | undefined;
  readonly only: string | undefined;
  readonly sources: readonly SourceName[];
  readonly sizes: readonly number[];
}

function usage(error: unknown): never {
  process.stderr.write(`${(error as Error).message}\n${USAGE}`);
  process.exit(2);
}

function options(): Options {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      only: { type: 'string' },
      source: { type: 'string', multiple: true, default: [] },
      size: { type: 'string' },
    },
  });
  const { quick, json, only, source, size } = values;
  if (only !== undefined && !PARTS.some(part => part === only)) throw new Error(`no part '${only}'`);
  const unknown = source.find(name => !SOURCES.some(known => known === name));
  if (unknown !== undefined) throw new Error(`no source '${unknown}'`);
  if (size !== undefined && !Object.hasOwn(SIZES, size)) throw new Error(`no size '${size}'`);
  const sizes = Object.entries(SIZES).flatMap(([name, bytes]) => (size === undefined || size === name ? [bytes] : []));
  return { quick, json, only, sizes, sources: SOURCES.filter(name => source.length === 0 || source.includes(name)) };
}

interface Opener {
  readonly part: (typeof PARTS)[number];
  readonly open: (baseline: Baseline, plan: Plan) => Promise<Part>;
}

/** In the order of the report. Memory of one size and source is open at a time. */
function* openers({ sources, sizes, quick }: Plan): Iterable<Opener> {
  for (const source of sources) {
    // Gigabytes take their time to be mapped.
    for (const bytes of quick && source !== sources[0] ? sizes.slice(0, 1) : sizes) {
      yield { part: 'harvest', open: (baseline, plan) => openHarvest(baseline, plan, source, bytes) };
    }
  }
  for (const source of sources) {
    for (const bytes of quick ? sizes.slice(0, 1) : sizes) {
      yield { part: 'cursors', open: (baseline, plan) => openCursors(baseline, plan, source, bytes) };
    }
  }
  yield { part: 'writers', open: openWriters };
  yield { part: 'toggle', open: openToggles };
}

/** What can be measured here; reasons for the rest. */
async function plan({ quick, sources, sizes: asked }: Options, skipped: Skipped[]): Promise<Plan> {
  const hasKvm = probe().kvm.present;
  const works: SourceName[] = [];
  for (const source of sources) {
    const reason = await whyNot(source, hasKvm);
    if (reason === undefined) works.push(source);
    else skipped.push({ part: source, reason });
  }
  // Two sides of it, and room beside them.
  const sizes = asked.filter(bytes => {
    if (freemem() > 2.25 * bytes) return true;
    skipped.push({ part: sizeText(bytes), reason: `only ${sizeText(freemem())} of memory are free` });
    return false;
  });
  return { quick, sources: works, sizes, hasKvm };
}

/** The reason why a source can't be had here, if so: what the library answers. Any other failure is one. */
async function whyNot(source: SourceName, hasKvm: boolean): Promise<string | undefined> {
  const needsVm = source === 'plain' || source === 'manual' || source === 'ring';
  if (needsVm && !hasKvm) return `there is no ${probe().kvm.device}`;
  try {
    await using ours = await Ours.open({ source, bytes: 2 * MIB, vcpus: needsVm ? 1 : 0 });
    await ours.start();
    return undefined;
  } catch (error) {
    if (error instanceof HypervisorError && error.code === 'ERR_DIRTY_SOURCE') return error.message;
    throw error;
  }
}

async function measure(chosen: Options): Promise<Report> {
  const results: Result[] = [];
  const skipped: Skipped[] = [];
  const planned = await plan(chosen, skipped);
  await using baseline = Baseline.start();
  await warmUp(planned);
  for (const { part, open } of openers(planned)) {
    if (chosen.only !== undefined && part !== chosen.only) continue;
    await using opened = await open(baseline, planned);
    results.push(...(await runMeasures(opened.measures)));
  }
  return { machine: describeMachine(), compiler: compileCommand, quick: chosen.quick, results, skipped };
}

function chosenOrUsage(): Options {
  try {
    return options();
  } catch (error) {
    return usage(error);
  }
}

async function main(): Promise<void> {
  const chosen = chosenOrUsage();
  const report = await measure(chosen);
  const json = `${JSON.stringify(report, undefined, 2)}\n`;
  if (chosen.json === '-') process.stdout.write(json);
  else {
    if (chosen.json !== undefined) writeFileSync(chosen.json, json);
    process.stdout.write(render(report));
  }
}

const args = process.argv.slice(2);
if (args[0] === '--perf-test') {
  try {
    await perfTest(args.slice(1), line => process.stdout.write(`${line}\n`));
  } catch (error) {
    usage(error);
  }
} else {
  await main();
}
