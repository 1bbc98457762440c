// `node-kvm bench`: its options and what they mean as a scenario. What it does is in bench-run.ts, which is loaded when it is needed:
// other commands need not wait for the lab. Main thread.

import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { messageOf } from '../../../shared/errors.ts';
import type { ScenarioInput } from '../lab/scenario.ts';
import { UsageError } from './values.ts';

interface BenchOptions {
  readonly scenario?: string;
  readonly actors?: readonly string[];
  readonly sizes?: readonly string[];
  readonly sources?: readonly string[];
  readonly seed?: number;
  readonly quick?: boolean;
  readonly peers: boolean;
  readonly json?: string;
  readonly html?: string;
  readonly compare?: readonly string[];
  readonly list?: boolean;
}

export function benchCommand(): Command {
  return new Command('bench')
    .description('measure how vCPUs, JavaScript, WebAssembly and C threads behave when they share memory')
    .argument(
      '[suite...]',
      "suites or single workloads, as '--list' names them (default: all that this machine can run)",
    )
    .option('--scenario <file>', 'JSON that says what to measure; other options go before what it says')
    .option('--actors <mixes>', "who works at once, as in 'js:2' or 'js:1,wasm:1,guest:1+js:1'", words)
    .option('--sizes <sizes>', "bytes of the data, as in '64K,32M'", words)
    .option('--sources <sources>', 'what records dirty pages: bitmap, ring, pagemap, host', words)
    .option(
      '--seed <seed>',
      'of everything that is random, 1 to 4294967295 (default: one of its own, which it prints)',
      parseSeed,
    )
    .option('--quick', 'few repetitions: less than 40 s with all defaults, wide intervals')
    .option('--no-peers', 'without other implementations, if any are installed')
    .option('--json <file>', 'write the report, for programs and --compare')
    .option('--html <file>', 'write the report as a page with charts; it needs nothing else')
    .option('--compare <files...>', 'measure nothing: hold two reports, a.json and b.json, against each other')
    .option('--list', 'measure nothing: say which suites and workloads there are')
    .addHelpText(
      'after',
      '\nThe table goes to standard output, progress to standard error. Ctrl-C ends the run in order: what was measured until then is\n' +
        'shown and written; a second one ends it at once.\n' +
        'Exit status: 0 it was measured or compared, whatever came out; 1 an error, something that failed (a wrong result, a dead actor), or a\n' +
        'forbidden outcome of a litmus test; 2 wrong usage, or no KVM for guests that were asked for; 130 Ctrl-C, 143 SIGTERM.',
    )
    .action(bench);
}

async function bench(suites: readonly string[], options: BenchOptions): Promise<void> {
  const { list, compare, json, html } = options;
  if (list === true) {
    refuseOthers('--list', suites, options, ['list']);
    const { listWorkloads } = await import('./bench-run.ts');
    return listWorkloads();
  }
  if (compare !== undefined) {
    refuseOthers('--compare', suites, options, ['compare', 'html', 'json']);
    const [a, b, ...rest] = compare;
    if (a === undefined || b === undefined || rest.length > 0)
      throw new UsageError(`--compare takes two reports, a.json and b.json, not ${compare.length}`);
    const { compareFiles } = await import('./bench-run.ts');
    return compareFiles({ a, b, json, html });
  }
  const input = scenarioOf(suites, options);
  const { runBench } = await import('./bench-run.ts');
  process.exitCode = await runBench({ input, json, html });
}

/** An option that has no meaning there is a mistake of the user's. */
function refuseOthers(mode: string, suites: readonly string[], options: BenchOptions, fine: readonly string[]): void {
  if (suites.length > 0) throw new UsageError(`'${suites[0]}' has no meaning with ${mode}`);
  const given = Object.entries(options).filter(([name, value]) => !fine.includes(name) && value !== (name === 'peers'));
  const [first] = given;
  if (first !== undefined)
    throw new UsageError(`--${first[0] === 'peers' ? 'no-peers' : first[0]} has no meaning with ${mode}`);
}

/** The scenario file's keys, and over them those of the command line. Whether it makes sense is runBenchmark's to say. */
function scenarioOf(suites: readonly string[], options: BenchOptions): ScenarioInput {
  const { actors, sizes, sources, seed, quick, peers } = options;
  return {
    ...(options.scenario === undefined ? {} : readScenario(options.scenario)),
    ...(suites.length > 0 ? { suites } : {}),
    ...(actors === undefined ? {} : { actors }),
    ...(sizes === undefined ? {} : { sizes }),
    // SAFETY: any word is fine here, since the scenario's schema has the list of them.
    ...(sources === undefined ? {} : { sources: sources as NonNullable<ScenarioInput['sources']> }),
    ...(seed === undefined ? {} : { seed }),
    ...(quick === true ? { quick } : {}),
    ...(peers ? {} : { peers }),
  };
}

function readScenario(path: string): object {
  let scenario: unknown;
  try {
    scenario = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`scenario '${path}' cannot be read: ${messageOf(error)}`);
  }
  if (typeof scenario !== 'object' || scenario === null || Array.isArray(scenario))
    throw new UsageError(`scenario '${path}' is no JSON object`);
  return scenario;
}

/** `a,b,c` */
function words(text: string): string[] {
  const list = text.split(',').map(word => word.trim());
  if (list.includes('')) throw new UsageError(`'${text}' is no list: use words with commas between them`);
  return list;
}

function parseSeed(text: string): number {
  const seed = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(seed >= 1 && seed < 2 ** 32)) throw new UsageError(`'${text}' is no seed: use an integer from 1 to 4294967295`);
  return seed;
}
