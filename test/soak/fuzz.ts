// `npm run fuzz`: damaged inputs to every parser of bytes that a guest or a file brings, on a thread of their own; this one watches that they
// go on. Exit status: 0; 1 when one threw, broke a promise or hung; 2 for wrong usage.

import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import cliProgress from 'cli-progress';
import { table } from 'table';
import { PARSERS, runSession, SESSION_INPUTS } from './parsers/all.ts';

const USAGE = `usage: npm run fuzz -- [--inputs N] [--seconds N] [--parser NAME] [--seed N] [--session N]
  --inputs N     of all parsers together (default 1,000,000)
  --seconds N    or for so long
  --parser NAME  one of: ${PARSERS.map(({ name }) => name).join(', ')}
  --seed N       default: a random one, which is printed
  --session N    one session of ${SESSION_INPUTS} inputs, as a failure names it; with --parser and --seed
`;
const INPUTS = 1_000_000;
/** A session takes milliseconds. */
const HANG_MS = 60_000;
const TELL_MS = 250;

interface Options {
  readonly inputs: number;
  readonly seconds: number;
  readonly parsers: readonly string[];
  readonly seed: number;
  readonly session: number | undefined;
}

/** What the thread tells: where it is, and what it has done there. */
interface Done {
  readonly parser: string;
  readonly session: number;
  readonly inputs: number;
  readonly accepted: number;
  readonly ms: number;
}
type Told = Done | { readonly failure: string };

function options(): Options {
  try {
    const { values } = parseArgs({
      options: {
        inputs: { type: 'string' },
        seconds: { type: 'string' },
        parser: { type: 'string' },
        seed: { type: 'string', default: String(1 + Math.floor(Math.random() * 2 ** 31)) },
        session: { type: 'string' },
      },
    });
    const names = PARSERS.map(({ name }) => name);
    const { parser } = values;
    if (parser !== undefined && !names.includes(parser)) throw new Error(`no parser '${parser}'`);
    const unlimited = values.seconds !== undefined && values.inputs === undefined;
    return {
      inputs: unlimited ? Number.POSITIVE_INFINITY : integer('inputs', values.inputs ?? String(INPUTS), 1),
      seconds: values.seconds === undefined ? Number.POSITIVE_INFINITY : integer('seconds', values.seconds, 1),
      parsers: parser === undefined ? names : [parser],
      seed: integer('seed', values.seed, 0),
      session: values.session === undefined ? undefined : integer('session', values.session, 0),
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

function integer(name: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least)
    throw new Error(`--${name} is an integer of at least ${least}, not '${text}'`);
  return value;
}

// ── the thread that parses ──

/** One parser after the other, each its share. What is behind a session is told before the next. */
async function fuzz({ inputs, seconds, parsers, seed, session: only }: Options): Promise<void> {
  for (const name of parsers) {
    const parser = PARSERS.find(each => each.name === name);
    if (parser === undefined) continue;
    const begin = performance.now();
    let left = Math.ceil(inputs / parsers.length);
    for (let session = only ?? 0; left > 0; session++) {
      const count = only === undefined ? Math.min(left, SESSION_INPUTS) : SESSION_INPUTS;
      tell({ parser: name, session, inputs: 0, accepted: 0, ms: 0 });
      const from = performance.now();
      try {
        const accepted = await runSession(parser, seed, session, count);
        tell({ parser: name, session, inputs: count, accepted, ms: performance.now() - from });
      } catch (error) {
        const { stack } = error as Error;
        tell({ failure: `${stack}\nreplay: npm run fuzz -- --parser '${name}' --seed ${seed} --session ${session}` });
        return;
      }
      left -= count;
      // What devices do in later turns of the event loop is done here.
      await new Promise(resolve => setImmediate(resolve));
      if (only !== undefined || performance.now() - begin > (1000 * seconds) / parsers.length) break;
    }
  }
}

function tell(told: Told): void {
  parentPort?.postMessage(told);
}

// ── the thread that watches ──

interface Count {
  inputs: number;
  accepted: number;
  ms: number;
}

function watch(chosen: Options): void {
  const { seed, inputs, seconds, parsers } = chosen;
  const counts = new Map<string, Count>(parsers.map(name => [name, { inputs: 0, accepted: 0, ms: 0 }]));
  const begin = performance.now();
  let at = 'the start';
  let heard = begin;
  let failure: string | undefined;
  process.stderr.write(`fuzz: seed ${seed}\n`);
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    format: 'fuzz {bar} {percentage} %, {parser}, {inputs} inputs, {duration_formatted} gone, {eta_formatted} left',
  });
  // In a log, a line for each parser.
  const note = (name: string) => {
    if (!process.stderr.isTTY) process.stderr.write(`fuzz: ${name}, behind ${total()} inputs\n`);
  };
  let noted = '';
  const total = () => [...counts.values()].reduce((sum, each) => sum + each.inputs, 0);
  const share = () => Math.min(1, Math.max(total() / inputs, (performance.now() - begin) / (1000 * seconds)));
  bar.start(1, 0, { parser: '', inputs: 0 });
  // Its mappings are sized by its own sessions: a heap that grows without end is found, rather than swapped.
  const worker = new Worker(new URL(import.meta.url), {
    workerData: chosen,
    resourceLimits: { maxOldGenerationSizeMb: 512 },
  });
  const timer = setInterval(() => {
    bar.update(share(), { parser: at.split(',')[0], inputs: total() });
    if (performance.now() - heard < HANG_MS) return;
    failure ??= `no end within ${HANG_MS / 1000} s: ${at}`;
    void worker.terminate();
  }, TELL_MS);
  worker.on('message', (told: Told) => {
    heard = performance.now();
    if ('failure' in told) {
      failure = told.failure;
      return;
    }
    if (told.parser !== noted) note(told.parser);
    noted = told.parser;
    at = `${told.parser}, session ${told.session}, seed ${seed}`;
    const count = counts.get(told.parser);
    if (count === undefined) return;
    count.inputs += told.inputs;
    count.accepted += told.accepted;
    count.ms += told.ms;
  });
  worker.on('error', error => {
    failure ??= `${at}: ${error.stack ?? error}`;
  });
  worker.on('exit', () => {
    clearInterval(timer);
    bar.stop();
    const head = ['parser', 'inputs', 'accepted', 'per second'];
    const rows = [...counts].map(([name, each]) => [
      name,
      each.inputs,
      `${Math.round((100 * each.accepted) / Math.max(1, each.inputs))} %`,
      Math.round((1000 * each.inputs) / Math.max(1, each.ms)),
    ]);
    process.stdout.write(table([head, ...rows]));
    const took = ((performance.now() - begin) / 1000).toFixed(1);
    process.stdout.write(
      `${total()} inputs in ${took} s, seed ${seed}: ${failure === undefined ? 'all right' : 'FAILED'}\n`,
    );
    if (failure === undefined) return;
    process.stderr.write(`${failure}\n`);
    process.exitCode = 1;
  });
}

// SAFETY: only watch() starts this file as a worker, and with exactly this.
if (isMainThread) watch(options());
else await fuzz(workerData as Options);
