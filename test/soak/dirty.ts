// `npm run soak:dirty`: writers of every kind against a consumer that replays what harvests name, for one source or for all of this
// machine at the same time. Main thread. Exit status: 0; 1 when a copy differed or a run failed; 2 for wrong usage or a missing source.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import cliProgress from 'cli-progress';
import { probe, probeDirtySources } from 'node-kvm';
import { table } from 'table';
import { fromRoot } from '../command.ts';
import { contradictions, readClaims } from './claims.ts';
import { columnOf, SOAK_SOURCES, type SoakReport, type SoakSource, soak } from './run.ts';

const USAGE = `usage: npm run soak:dirty -- [--seconds N] [--harvests N] [--source NAME] [--seed N] [--json]
  --seconds N    how long (default 10, without --harvests)
  --harvests N   or until the first consumer has harvested so often
  --source NAME  ${SOAK_SOURCES.join(', ')}, or all (default): each that works here in a process of its own, at the same time
  --seed N       default: a random one, which is printed
  --json         the reports as JSON on standard output
`;
const DEFAULT_SECONDS = 10;

interface Options {
  readonly seconds: number;
  readonly harvests: number;
  readonly source: SoakSource | 'all';
  readonly seed: number;
  readonly json: boolean;
}

interface Missing {
  readonly source: SoakSource;
  readonly missing: string;
}

type Outcome = SoakReport | Missing;

function options(): Options {
  try {
    const { values } = parseArgs({
      options: {
        seconds: { type: 'string' },
        harvests: { type: 'string' },
        source: { type: 'string', default: 'all' },
        seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
        json: { type: 'boolean', default: false },
      },
    });
    const source = ['all', ...SOAK_SOURCES].find(name => name === values.source) as Options['source'] | undefined;
    if (source === undefined) throw new Error(`no source '${values.source}'`);
    const harvests = values.harvests === undefined ? Number.POSITIVE_INFINITY : positive('harvests', values.harvests);
    const seconds = values.seconds === undefined ? undefined : positive('seconds', values.seconds);
    return {
      source,
      harvests,
      seconds: seconds ?? (values.harvests === undefined ? DEFAULT_SECONDS : Number.POSITIVE_INFINITY),
      seed: positive('seed', values.seed),
      json: values.json,
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`--${name} is an integer of at least 1, not '${text}'`);
  return value;
}

/** Prints nothing where standard error is no terminal. */
function progressLine(): cliProgress.SingleBar {
  return new cliProgress.SingleBar({
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    format: 'soak {bar} {percentage} %, {duration_formatted} gone, {eta_formatted} left',
  });
}

/** Why this source cannot be had here; undefined when it can. */
function missing(source: SoakSource): string | undefined {
  const { available, reason } = probeDirtySources()[columnOf(source)];
  return available ? undefined : reason;
}

/** The report of a run that was none. */
function nothing(source: SoakSource, { seed }: Options): SoakReport {
  const none = { writers: [], blindTo: [], seconds: 0, rounds: 0, harvests: 0, pages: 0, changes: 0 };
  return { source, seed, ...none, problems: [] };
}

/** In this process. */
async function runOne(source: SoakSource, chosen: Options, onProgress: (share: number) => void): Promise<SoakReport> {
  const claims = readClaims(fromRoot('ARCHITECTURE.md'));
  const column = columnOf(source);
  const wrong = contradictions(claims, column, probeDirtySources()[column].seen);
  if (wrong.length > 0) return { ...nothing(source, chosen), problems: wrong };
  return await soak({
    source,
    claims,
    seed: chosen.seed,
    seconds: chosen.seconds,
    harvests: chosen.harvests,
    kvm: probe().kvm.usable,
    pagemap: missing('pagemap') === undefined,
    writerScript: new URL('./writer.js', import.meta.url),
    onProgress,
  });
}

/** In a process of its own, which reports its progress by messages. */
async function runChild(source: SoakSource, chosen: Options, onProgress: (share: number) => void): Promise<SoakReport> {
  const limits = [
    ...(Number.isFinite(chosen.seconds) ? ['--seconds', String(chosen.seconds)] : []),
    ...(Number.isFinite(chosen.harvests) ? ['--harvests', String(chosen.harvests)] : []),
  ];
  const args = ['--source', source, '--seed', String(chosen.seed), '--json', ...limits];
  const child = fork(fileURLToPath(import.meta.url), args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (data: string) => {
    text += data;
  });
  child.on('message', share => onProgress(Number(share)));
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  try {
    return (JSON.parse(text) as [SoakReport])[0];
  } catch {
    const problem = `the process of source ${source} ended with ${signal ?? status}, without a report`;
    return { ...nothing(source, chosen), problems: [problem] };
  }
}

async function runAll(chosen: Options): Promise<Outcome[]> {
  const bar = progressLine();
  bar.start(1, 0);
  const shares = new Map<SoakSource, number>();
  try {
    return await Promise.all(
      SOAK_SOURCES.map((source): Promise<Outcome> | Outcome => {
        const reason = missing(source);
        if (reason !== undefined) return { source, missing: reason };
        shares.set(source, 0);
        return runChild(source, chosen, share => {
          shares.set(source, share);
          bar.update(Math.min(...shares.values()));
        });
      }),
    );
  } finally {
    bar.stop();
  }
}

async function runSingle(source: SoakSource, chosen: Options): Promise<Outcome[]> {
  const reason = missing(source);
  if (reason !== undefined) {
    process.stderr.write(`soak: source ${source} cannot be had on this machine: ${reason}\n`);
    process.exit(2);
  }
  const bar = progressLine();
  if (process.send === undefined) bar.start(1, 0);
  try {
    const report = await runOne(source, chosen, share => {
      if (process.send === undefined) bar.update(share);
      else process.send(share);
    });
    return [report];
  } finally {
    bar.stop();
  }
}

function render(outcomes: readonly Outcome[]): string {
  const head = ['source', 'writers', 'harvests', 'pages replayed', 'pages/s', 'seconds', 'verdict'];
  const rows = outcomes.map(outcome => {
    if ('missing' in outcome) return [outcome.source, '', '', '', '', '', `not on this machine: ${outcome.missing}`];
    const { source, writers, blindTo, harvests, pages, seconds, problems } = outcome;
    const blind = blindTo.length === 0 ? '' : `; blind to ${blindTo.join(', ')}, as documented`;
    const verdict = problems.length === 0 ? `equal${blind}` : 'FAILED';
    return [
      source,
      writers.join(', '),
      harvests,
      pages,
      seconds === 0 ? 0 : Math.round(pages / seconds),
      seconds.toFixed(1),
      verdict,
    ];
  });
  const failures = outcomes.flatMap(outcome =>
    'missing' in outcome
      ? []
      : outcome.problems.map(problem => `${outcome.source} (seed ${outcome.seed}): ${problem}\n`),
  );
  return `${table([head, ...rows], { columns: { 6: { width: 50, wrapWord: true } } })}${failures.join('')}`;
}

// One of several: when the process that asked for it has gone, so has the reason to go on.
process.once('disconnect', () => process.exit(1));
// Being able to hear of that keeps nobody alive.
process.channel?.unref();

const chosen = options();
const outcomes = chosen.source === 'all' ? await runAll(chosen) : await runSingle(chosen.source, chosen);
process.stdout.write(
  chosen.json ? `${JSON.stringify(outcomes, undefined, 2)}\n` : `${render(outcomes)}seed ${chosen.seed}\n`,
);
process.exitCode = outcomes.some(outcome => !('missing' in outcome) && outcome.problems.length > 0) ? 1 : 0;
