// A run of the lab in which something breaks: an actor's thread is ended in the middle, results are wrong, baselines fail, teams don't close. What else was
// to be measured is measured, with new actors, and the report says what is missing. No KVM is needed.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HypervisorError } from '../../shared/errors.ts';
import { openTeam } from '../../src/main/lab/actor-team.ts';
import { catalog } from '../../src/main/lab/catalog.ts';
import type { Failure, Row } from '../../src/main/lab/report.ts';
import { type LabParts, runBenchmark, runWorkloads } from '../../src/main/lab/run-benchmark.ts';
import type { ScenarioInput } from '../../src/main/lab/scenario.ts';
import type { LabContext, OpenVariant, Team, Variant, Workload } from '../../src/main/lab/workload.ts';
import { codeOf } from '../errors.ts';
import { endWorkers } from '../lab-worker-ends.ts';

const test = suite('lab: failures');
const FEW: ScenarioInput = {
  seed: 5,
  visits: 5,
  extraVisits: 0,
  repetitions: 1,
  repetitionMs: 0.2,
  sizes: ['64K'],
  actors: ['js:1'],
};

const idsOf = (rows: readonly Row[]) => rows.map(({ id }) => id);
const wrong = () => new HypervisorError('ERR_LAB_RESULT', 'the sum is wrong');

/** A workload of the catalog's name with one variant, which does as it is told. Nothing of the catalog's own is run. */
function fake(
  name: string,
  parts: Partial<Variant> & { readonly repeat?: () => void; readonly close?: () => void } = {},
) {
  const { repeat, close, ...rest } = parts;
  const [suiteName = '', workload = ''] = name.split('/');
  return {
    suite: suiteName,
    name: workload,
    title: '',
    model: '',
    kinds: ['js'],
    variants: (context: LabContext) => {
      const open = async () => {
        await context.team();
        return openOf(repeat, close);
      };
      const variant = {
        suite: suiteName,
        workload,
        actors: 'js:1',
        count: 1,
        parameters: {},
        unit: 'ns',
        better: 'lower',
      };
      return [{ ...variant, open, ...rest } as Variant];
    },
  } satisfies Workload;
}

function openOf(repeat: () => void = () => {}, close: () => void = () => {}): OpenVariant {
  return {
    lastNs: 1000,
    async repeat() {
      repeat();
      return { value: 1 };
    },
    async [Symbol.asyncDispose]() {
      close();
    },
  };
}

const fails = (error: Error) => () => {
  throw error;
};

/** Teams that only count: how many were opened, and closed. */
class Teams {
  opened = 0;
  closed = 0;
  readonly #close: () => void;

  constructor(close: () => void = () => {}) {
    this.#close = close;
  }

  readonly open: LabParts['openTeam'] = async () => {
    this.opened += 1;
    const close = async () => {
      this.closed += 1;
      this.#close();
    };
    const none = { js: 0, wasm: 0, guest: 0, c: 0 };
    const data = { at: 0, bytes: 0 };
    const run = () => Promise.reject(new Error('nobody is there'));
    return {
      buffer: new SharedArrayBuffer(0),
      data,
      counts: none,
      clockNs: {},
      run,
      [Symbol.asyncDispose]: close,
    } as Team;
  };
}

const NAMES = ['stream/read', 'stream/write', 'stream/copy'];

/** Runs three workloads of which `second` is the second one; it is between two that nothing ails. */
async function around(second: Workload, teams = new Teams()) {
  const [first = '', , third = ''] = NAMES;
  const workloads = [fake(first), second, fake(third)];
  const report = await runWorkloads({ workloads, openTeam: teams.open }, { ...FEW, suites: NAMES });
  return { ...report, teams };
}

test('an actor whose thread ends in the middle costs its group, and the next ones have new actors', async () => {
  let ended = 0;
  using workers = endWorkers();
  const report = await runBenchmark(
    { ...FEW, suites: ['atomics/add', 'atomics/cas', 'stream/read'] },
    {
      onProgress: (share, what) => {
        if (share === 0 || !what.startsWith('atomics/add') || ended > 0) return;
        ended = workers.end();
      },
    },
  );
  assert.ok(ended > 0);
  assert.equal(idsOf(report.rows), ['stream/read/js:1/bytes=65536', 'atomics/cas/js:1']);
  const [failure, ...others] = report.failures;
  assert.equal(others, []);
  assert.equal(failure?.rows, ['atomics/add/js:1']);
  assert.is(failure?.during, 'atomics/add/js:1');
  assert.is(failure?.code, 'ERR_LAB_ACTOR');
  assert.match(failure?.message ?? '', /(js|c) actor \d+ (ended|died)/);
  assert.not(report.interrupted);
});

test('an actor that ends in a litmus test costs that test', async () => {
  let ended = 0;
  using workers = endWorkers();
  const report = await runBenchmark(
    { ...FEW, suites: ['litmus/SB', 'litmus/MP'], litmusIterations: 20_000 },
    {
      onProgress: (_, what) => {
        if (what === 'litmus/SB/atomic/js+js' && ended === 0) ended = workers.end();
      },
    },
  );
  const [failure, ...others] = report.failures;
  assert.equal(others, []);
  assert.equal([failure?.workload, failure?.rows], ['litmus/SB', ['litmus/SB/atomic/js+js']]);
  const seen = report.litmus.map(({ id }) => id);
  assert.ok(seen.includes('litmus/SB/plain/js+js') && seen.some(id => id.startsWith('litmus/MP/')), seen.join());
});

test('a wrong result is told with group, actors, row, code and message; its team is thrown away', async () => {
  const { rows, failures, teams } = await around(fake('stream/write', { repeat: fails(wrong()) }));
  assert.equal(idsOf(rows), ['stream/read/js:1', 'stream/copy/js:1']);
  assert.equal(failures, [
    {
      workload: 'stream/write',
      actors: ['js:1'],
      rows: ['stream/write/js:1'],
      during: 'stream/write/js:1',
      code: 'ERR_LAB_RESULT',
      message: 'the sum is wrong',
    } satisfies Failure,
  ]);
  assert.equal([teams.opened, teams.closed], [2, 2]);
});

test('without a failure there is one team, and nothing to tell', async () => {
  const { rows, failures, teams } = await around(fake('stream/write'));
  assert.equal([rows.length, failures.length, teams.opened, teams.closed], [3, 0, 1, 1]);
});

test('a baseline that fails is named; so is a peer', async () => {
  const baseline = fake('stream/write', { openBaseline: async () => openOf(fails(wrong())) });
  assert.is((await around(baseline)).failures[0]?.message, 'C baseline: the sum is wrong');
  const unopened = fake('stream/write', { openBaseline: () => Promise.reject(wrong()) });
  assert.is((await around(unopened)).failures[0]?.message, 'C baseline: the sum is wrong');
  const peer = fake('stream/write', { peers: { other: async () => openOf(fails(wrong())) } });
  assert.is((await around(peer)).failures[0]?.message, 'peer other: the sum is wrong');
});

test('the second error, of a variant that is closed then, does not hide the first', async () => {
  const close = fails(new HypervisorError('ERR_STATE', 'closing failed'));
  const { failures, rows } = await around(fake('stream/write', { repeat: fails(wrong()), close }));
  assert.equal(
    failures.map(({ code }) => code),
    ['ERR_LAB_RESULT'],
  );
  assert.is(rows.length, 2);
});

test('a team that does not close is told too, and a new one is opened', async () => {
  const teams = new Teams(fails(new HypervisorError('ERR_STATE', 'closing failed')));
  const { rows, failures } = await around(fake('stream/write', { repeat: fails(wrong()) }), teams);
  assert.equal(idsOf(rows), ['stream/read/js:1', 'stream/copy/js:1']);
  assert.equal(
    failures.map(({ code, workload, rows: missing }) => [code, workload, missing]),
    [
      ['ERR_LAB_RESULT', 'stream/write', ['stream/write/js:1']],
      ['ERR_STATE', 'stream/write', []],
      ['ERR_STATE', 'stream/copy', []],
    ],
  );
  assert.is(teams.opened, 2);
});

test('a team that does not open costs the group that wanted it', async () => {
  let asked = 0;
  const workloads = [fake('stream/read'), fake('stream/write')];
  const good = new Teams();
  const open: LabParts['openTeam'] = options => {
    asked += 1;
    return asked === 1 ? Promise.reject(new HypervisorError('ERR_LAB_ACTOR', 'did not start')) : good.open(options);
  };
  const { rows, failures } = await runWorkloads({ workloads, openTeam: open }, { ...FEW, suites: NAMES });
  assert.equal(idsOf(rows), ['stream/write/js:1']);
  assert.equal(
    failures.map(({ code, workload }) => [code, workload]),
    [['ERR_LAB_ACTOR', 'stream/read']],
  );
});

test('no memory, and what is no error of the library, rejects, and the team is closed', async () => {
  const full = new HypervisorError('ERR_SYSCALL', 'mmap failed', { errno: 12, syscall: 'mmap' });
  for (const error of [full, new RangeError('Array buffer allocation failed')]) {
    const teams = new Teams();
    const thrown = await around(fake('stream/write', { repeat: fails(error) }), teams).catch(
      (reason: unknown) => reason,
    );
    assert.is(thrown, error);
    assert.equal([teams.opened, teams.closed], [1, 1]);
  }
  const baseline = fake('stream/write', { openBaseline: () => Promise.reject(full) });
  assert.is(await codeOf(around(baseline)), 'ERR_SYSCALL');
});

test('when everything breaks, the run ends early and says so', async () => {
  const broken = catalog
    .slice(0, 12)
    .map(({ suite: suiteName, name }) => fake(`${suiteName}/${name}`, { repeat: fails(wrong()) }));
  const suites = broken.map(({ suite: suiteName, name }) => `${suiteName}/${name}`);
  const { failures, rows, interrupted } = await runWorkloads(
    { workloads: broken, openTeam: new Teams().open },
    { ...FEW, suites },
  );
  assert.ok(failures.length > 1 && failures.length < broken.length, `${failures.length}`);
  assert.equal(rows, []);
  assert.ok(interrupted);
});

test('a real team after a failed one works as the first did', async () => {
  const read = catalog.find(({ suite: suiteName, name }) => suiteName === 'stream' && name === 'read');
  if (read === undefined) throw new Error('stream/read is gone');
  const workloads = [fake('stream/write', { repeat: fails(wrong()) }), read];
  const { rows, failures } = await runWorkloads({ workloads, openTeam }, { ...FEW, suites: ['stream'] });
  assert.equal(idsOf(rows), ['stream/read/js:1/bytes=65536']);
  assert.is(failures.length, 1);
});

test.run();
