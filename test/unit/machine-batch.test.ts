// The rule for lost machines: what answered is never run again, what did not is, at most three times, and then it counts as failed.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type MachineEnd, RESTARTS_MAX, type RunMachine, runBatch, runInRoom, split } from '../machine/batch.ts';
import { runtimePackages } from '../machine/runtime-packages.ts';
import { type Outcome, summarize } from '../report.ts';

const test = suite('batches of the emulated machine');

const answer = (file: string, failed = 0): Outcome => ({
  file,
  passed: 1 - failed,
  failed,
  skips: [],
  problem: failed === 0 ? undefined : 'ended with 1',
  output: '',
  seconds: 1,
});

const LOST: MachineEnd = { kind: 'lost', why: 'silent' };

/** Machines that answer for what `answers` says per start, and end with `ends`; writes down what each was given. */
function machines(answers: readonly (readonly Outcome[])[], ends: readonly MachineEnd[]) {
  const given: (readonly string[])[] = [];
  const run: RunMachine = async (files, attempt, onOutcome) => {
    given.push(files);
    for (const outcome of answers[attempt] ?? []) onOutcome(outcome);
    return ends[attempt] ?? LOST;
  };
  return { given, run };
}

test('one machine that answers for all: no loss', async () => {
  const { given, run } = machines([[answer('a'), answer('b')]], [{ kind: 'exit', status: 0 }]);

  const { outcomes, losses } = await runBatch(['a', 'b'], run);

  assert.equal(given, [['a', 'b']]);
  assert.equal(outcomes, [answer('a'), answer('b')]);
  assert.equal(losses, []);
});

test('a lost machine: only the files without an answer run again, a failed one does not', async () => {
  const { given, run } = machines([[answer('b', 1)], [answer('a'), answer('c')]], [LOST, { kind: 'exit', status: 0 }]);

  const { outcomes, losses } = await runBatch(['a', 'b', 'c'], run);

  assert.equal(given, [
    ['a', 'b', 'c'],
    ['a', 'c'],
  ]);
  assert.equal(outcomes, [answer('b', 1), answer('a'), answer('c')]);
  assert.equal(losses, ['silent']);
});

test('a machine lost after its last answer is counted and not started again', async () => {
  const { given, run } = machines([[answer('a')]], [LOST]);

  const { losses } = await runBatch(['a'], run);

  assert.is(given.length, 1);
  assert.equal(losses, ['silent']);
});

test('machines that are always lost: started again three times, then the files have failed', async () => {
  const { given, run } = machines([], []);

  const { outcomes, losses } = await runBatch(['a', 'b'], run);

  assert.is(given.length, 1 + RESTARTS_MAX);
  assert.is(losses.length, 1 + RESTARTS_MAX);
  assert.equal(
    outcomes.map(outcome => [outcome.file, outcome.failed]),
    [
      ['a', 1],
      ['b', 1],
    ],
  );
  assert.match(outcomes[0]?.problem ?? '', /^no result: .* lost 4 times, lastly: silent$/);
});

test('a runner that ends without answering for a file has failed: it was not lost', async () => {
  const { given, run } = machines([[answer('a')]], [{ kind: 'exit', status: 134 }]);

  const { outcomes } = await runBatch(['a', 'b'], run);

  assert.is(given.length, 1);
  assert.match(outcomes[1]?.problem ?? '', /ended with 134/);
});

test('the summary ends in the totals, and nothing passed is not well', () => {
  const skipping = { ...answer('c'), passed: 0, skips: ['# SKIP 2 ring: no ring'] };

  assert.match(summarize([answer('a'), answer('b', 1), skipping], 1).text, /\n1 passed, 1 failed, 2 skipped$/);
  assert.is(summarize([answer('a')], 1).ok, true);
  assert.is(summarize([answer('a'), answer('b', 1)], 1).ok, false);
  assert.is(summarize([skipping], 1).ok, false);
});

test('files are split evenly, in order, each once', () => {
  const files = Array.from({ length: 23 }, (_, index) => `f${index}`);
  const sizes = (size: number, lanes: number) => split(files, size, lanes).map(batch => batch.length);

  assert.equal(split(files, 10, 1).flat(), files);
  assert.equal(split(files, 10, 2).flat(), files);
  assert.equal(sizes(10, 1), [8, 7, 8]);
  assert.equal(sizes(10, 2), [6, 6, 5, 6]);
  assert.equal(sizes(40, 4), [6, 6, 5, 6]);
  assert.equal(split(['a'], 10, 4), [['a']]);
  assert.equal(split([], 10, 2), []);
});

test('batches run in their order, as many at a time as there is room for', async () => {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const end = async (name: string) => {
    ends.get(name)?.();
    await new Promise(resolve => setImmediate(resolve));
  };

  const all = runInRoom(['a', 'b', 'c', 'd'], 2, async name => {
    begun.push(name);
    await new Promise<void>(resolve => ends.set(name, resolve));
  });

  assert.equal(begun, ['a', 'b']);
  await end('b');
  assert.equal(begun, ['a', 'b', 'c']);
  await end('c');
  assert.equal(begun, ['a', 'b', 'c', 'd']);
  await end('a');
  let isOver = false;
  const over = all.then(() => {
    isOver = true;
  });
  await end('nobody');
  assert.not.ok(isOver, 'd runs');
  await end('d');
  await over;
});

test('packages that run: dependencies and theirs, no tools', () => {
  const packages = runtimePackages(['uvu']);

  for (const name of ['piscina', 'comlink', 'uvu', 'kleur']) assert.ok(packages.includes(`node_modules/${name}`), name);
  assert.not.ok(packages.includes('node_modules/typescript'));
});

test.run();
