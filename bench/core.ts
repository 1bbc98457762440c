// `npm run bench:core`: the core's costs, measured side by side with C++ that does the same in the same run. Main thread.
// A missed goal is printed as missed and does not fail the run; a side that did not do its work does.

import { parseArgs } from 'node:util';
import { probe } from 'node-kvm';
import { Baseline, compileCommand } from './core/baseline.ts';
import { openCopies } from './core/copies.ts';
import { openExits } from './core/exits.ts';
import { openIdle } from './core/idle.ts';
import { openMemory } from './core/memory.ts';
import { describeMachine, type Report, render, type Skipped } from './core/report.ts';
import { type Part, type Result, runMeasures } from './core/rounds.ts';
import { openStartup } from './core/startup.ts';

const USAGE = `usage: npm run bench:core -- [--quick] [--json] [--only <part>]
  --quick        few rounds: under 20 seconds
  --json         the results as JSON on standard output
  --only <part>  one of: exits, memory, copies, startup, idle
`;

type Open = (baseline: Baseline, quick: boolean) => Promise<Part>;
const PARTS: readonly { readonly name: string; readonly needsKvm: boolean; readonly open: Open }[] = [
  { name: 'exits', needsKvm: true, open: openExits },
  { name: 'memory', needsKvm: false, open: openMemory },
  { name: 'copies', needsKvm: false, open: openCopies },
  { name: 'startup', needsKvm: true, open: openStartup },
  { name: 'idle', needsKvm: true, open: openIdle },
];

interface Options {
  readonly quick: boolean;
  readonly json: boolean;
  readonly only: string | undefined;
}

function options(): Options {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        only: { type: 'string' },
      },
    });
    if (values.only !== undefined && !PARTS.some(part => part.name === values.only)) {
      throw new Error(`no part '${values.only}'`);
    }
    return { quick: values.quick, json: values.json, only: values.only };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

async function measure({ quick, only }: Options): Promise<Report> {
  const { kvm } = probe();
  const results: Result[] = [];
  const skipped: Skipped[] = [];
  await using baseline = Baseline.start();
  for (const { name, needsKvm, open } of PARTS) {
    if (only !== undefined && name !== only) continue;
    // Only absence skips: a device that is there and fails is a failure.
    if (needsKvm && !kvm.present) {
      skipped.push({ part: name, reason: `there is no ${kvm.device}` });
      continue;
    }
    await using part = await open(baseline, quick);
    results.push(...(await runMeasures(part.measures)));
  }
  return { machine: describeMachine(), compiler: compileCommand, quick, results, skipped };
}

const chosen = options();
const report = await measure(chosen);
process.stdout.write(chosen.json ? `${JSON.stringify(report, undefined, 2)}\n` : render(report));
