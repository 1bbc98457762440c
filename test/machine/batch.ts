// The rule for machines that get lost: the emulated machine itself is imperfect and now and then ends or hangs under a test. A batch
// of test files whose machine is lost is continued on a new one, with the files that have not answered; a file that answered,
// with whatever result, is never run again. Also how files become batches, and how many run at a time. Pure: a machine is a function
// that somebody gives.

import type { Outcome } from '../report.ts';

/** How a machine ended: with its exit line, or lost. */
export type MachineEnd =
  | { readonly kind: 'exit'; readonly status: number }
  | { readonly kind: 'lost'; readonly why: string };

/** Starts a machine that runs `files` and reports each outcome as it comes. */
export type RunMachine = (
  files: readonly string[],
  attempt: number,
  onOutcome: (outcome: Outcome) => void,
) => Promise<MachineEnd>;

export interface BatchResult {
  readonly outcomes: readonly Outcome[];
  /** Why each lost machine was given up. */
  readonly losses: readonly string[];
}

/** A batch is started again at most this often. */
export const RESTARTS_MAX = 3;

/** Runs all files; those that no machine answered for count as failed. */
export async function runBatch(files: readonly string[], runMachine: RunMachine): Promise<BatchResult> {
  const outcomes = new Map<string, Outcome>();
  const losses: string[] = [];
  const open = () => files.filter(file => !outcomes.has(file));
  let problem = '';
  for (let attempt = 0; attempt <= RESTARTS_MAX && open().length > 0; attempt++) {
    const end = await runMachine(open(), attempt, outcome => outcomes.set(outcome.file, outcome));
    if (end.kind === 'exit') {
      problem = `no result: the runner in the machine ended with ${end.status}`;
      break;
    }
    losses.push(end.why);
    problem = `no result: the machine was lost ${losses.length} times, lastly: ${end.why}`;
  }
  for (const file of open())
    outcomes.set(file, { file, passed: 0, failed: 1, skips: [], problem, output: '', seconds: 0 });
  return { outcomes: [...outcomes.values()], losses };
}

/** Cuts a list into pieces of at most `size`, as even as they get; their number is a multiple of `lanes`, as far as files last. */
export function split(files: readonly string[], size: number, lanes: number): string[][] {
  const count = Math.min(files.length, lanes * Math.ceil(files.length / (size * lanes)));
  return Array.from({ length: count }, (_, index) =>
    files.slice(Math.round((index * files.length) / count), Math.round(((index + 1) * files.length) / count)),
  );
}

/** Runs all jobs, begun in their order, at most `room` at a time. */
export async function runInRoom<Job>(
  jobs: readonly Job[],
  room: number,
  run: (job: Job) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>();
  for (const job of jobs) {
    while (running.size >= room) await Promise.race(running);
    const ended = run(job).finally(() => running.delete(ended));
    running.add(ended);
  }
  await Promise.all(running);
}
