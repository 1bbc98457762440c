// `npm run bench:lab-aa`: how often `node-kvm bench --compare` calls a difference where there is none. Runs one and the same scenario several times, each
// in a process of its own as its users do, and compares every run with every other. Main thread; a missed goal is printed and fails nothing.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { table } from 'table';

const USAGE = `usage: npm run bench:lab-aa -- [--runs <number>] [--keep <folder>] [-- <arguments of node-kvm bench>]
  --runs <number>  2 to 20 (default 4); each is compared with each other
  --keep <folder>  the reports and comparisons stay there
`;
/** Of all rows, at most this share may be called different. */
const GOAL = 0.05;
const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** What `--compare --json` writes of a comparison, as far as it is read here. */
interface Compared {
  readonly counts: Readonly<Record<'faster' | 'slower' | 'same' | 'doubtful', number>>;
  readonly rows: readonly {
    readonly id: string;
    readonly verdict: string;
    readonly speedup?: number;
    readonly needed?: number;
  }[];
}

interface Options {
  readonly runs: number;
  readonly keep: string | undefined;
  readonly rest: readonly string[];
}

function options(): Options {
  try {
    const { values, positionals } = parseArgs({
      options: { runs: { type: 'string', default: '4' }, keep: { type: 'string' } },
      allowPositionals: true,
    });
    const runs = Number(values.runs);
    if (!Number.isInteger(runs) || runs < 2 || runs > 20)
      throw new Error(`'${values.runs}' runs: 2 to 20 are possible`);
    return { runs, keep: values.keep, rest: positionals };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

/** `node-kvm bench` with its progress on our terminal; its tables are of no interest here. */
function bench(args: readonly string[]): void {
  const { status, signal } = spawnSync(process.execPath, [CLI, 'bench', ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) throw Object.assign(new Error(`node-kvm bench ended with ${signal ?? status}`), { status });
}

function compareAll(folder: string, { runs, rest }: Options): { name: string; compared: Compared }[] {
  const report = (run: number) => join(folder, `run-${run}.json`);
  for (let run = 1; run <= runs; run += 1) {
    process.stderr.write(`run ${run} of ${runs}\n`);
    bench([...rest, '--json', report(run)]);
  }
  const pairs: { name: string; compared: Compared }[] = [];
  for (let a = 1; a <= runs; a += 1) {
    for (let b = a + 1; b <= runs; b += 1) {
      const file = join(folder, `compare-${a}-${b}.json`);
      bench(['--compare', report(a), report(b), '--json', file]);
      // SAFETY: the command that we just ran wrote it; it ended with 0.
      pairs.push({ name: `${a} and ${b}`, compared: JSON.parse(readFileSync(file, 'utf8')) as Compared });
    }
  }
  return pairs;
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;

function print(pairs: readonly { readonly name: string; readonly compared: Compared }[]): void {
  const lines = [['runs', 'rows', 'faster', 'slower', 'same', 'doubtful', 'called different']];
  let rows = 0;
  let called = 0;
  let doubtful = 0;
  const calls = new Map<string, string[]>();
  const needed: number[] = [];
  for (const { name, compared } of pairs) {
    const { faster, slower, same, doubtful: unsure } = compared.counts;
    const both = faster + slower + same + unsure;
    lines.push([name, ...[both, faster, slower, same, unsure].map(String), percent((faster + slower) / both)]);
    rows += both;
    called += faster + slower;
    doubtful += unsure;
    for (const { id, verdict, speedup = 1, needed: least } of compared.rows) {
      if (least !== undefined) needed.push(least);
      if (verdict !== 'faster' && verdict !== 'slower') continue;
      calls.set(id, [...(calls.get(id) ?? []), `×${speedup.toFixed(2)}`]);
    }
  }
  needed.sort((a, b) => a - b);
  process.stdout.write(
    [
      table(lines, {
        columnDefault: { alignment: 'right', paddingLeft: 0, paddingRight: 2 },
        border: { joinBody: '─', joinLeft: '', joinRight: '', joinJoin: '─' },
        drawVerticalLine: () => false,
        drawHorizontalLine: index => index === 1,
      }),
      ...[...calls].map(([id, speedups]) => `called different: ${id}: ${speedups.join(', ')}`),
      `the least difference that would have been seen: ${percent(needed[needed.length >> 1] ?? 0)} in half of the rows`,
      `doubtful: ${doubtful} of ${rows} rows, ${percent(doubtful / rows)}${doubtful > rows / 2 ? ': too noisy to say much; repeat it with nothing else at work' : ''}`,
      `false alarms: ${called} of ${rows} rows, ${percent(called / rows)}; of those without doubts ${percent(called / Math.max(1, rows - doubtful))}`,
      `goal: at most ${percent(GOAL)} of all rows: ${called / rows <= GOAL ? 'met' : 'MISSED'}`,
      '',
    ].join('\n'),
  );
}

const chosen = options();
const folder = chosen.keep ?? mkdtempSync(join(tmpdir(), 'node-kvm-lab-aa-'));
mkdirSync(folder, { recursive: true });
try {
  print(compareAll(folder, chosen));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  // 2 is wrong usage of the command's, and told by it.
  process.exitCode = (error as { status?: unknown }).status === 2 ? 2 : 1;
} finally {
  if (chosen.keep === undefined) rmSync(folder, { recursive: true, force: true });
}
