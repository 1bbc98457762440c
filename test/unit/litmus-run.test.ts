// Running litmus tests: what is counted, what fails a row, what the seed decides; and the tests themselves between threads of this machine.

import { availableParallelism } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { ActorWords, controlWords } from '../../shared/lab/actor-words.ts';
import { LAB_BLOCK, LAB_CONTROL, LAB_LAYOUT } from '../../shared/lab/control.ts';
import { LAB_KERNELS } from '../../shared/lab/kernels.ts';
import { LITMUS_PARAM, LITMUS_THREADS_MAX } from '../../shared/lab/litmus.ts';
import { LITMUS_TESTS } from '../../shared/lab/litmus-tests.ts';
import { openTeam } from '../../src/main/lab/actor-team.ts';
import { drawBatch, LITMUS_BYTES } from '../../src/main/lab/litmus/batch.ts';
import { litmusCase, litmusCases, litmusCounts } from '../../src/main/lab/litmus/cases.ts';
import { runLitmus } from '../../src/main/lab/litmus/run-litmus.ts';
import { checkOrders } from '../../src/main/lab/order-check.ts';
import { seededRandom } from '../../src/main/lab/statistics.ts';
import { arenaOf } from '../../src/workers/lab/arena.ts';
import { jsLitmus } from '../../src/workers/lab/js-litmus.ts';
import { codeOf } from '../errors.ts';
import { fakeTeam } from '../litmus/sequential.ts';

const test = suite('litmus runs');

const data = { at: 4096, bytes: LITMUS_BYTES };
const cpus = Array.from({ length: availableParallelism() }, (_none, cpu) => cpu);
const options = { iterations: 1000, seed: 5, cpus };
const named = (name: string, access: string) => {
  const found = LITMUS_TESTS.find(each => each.name === name && each.access === access);
  if (!found) throw new Error(`there is no ${name}, ${access}`);
  return found;
};
const storeBuffering = litmusCase(named('SB', 'atomic'), ['js']);

/** Fills each thread's results with one number. */
const answering = (results: readonly number[]) =>
  fakeTeam(data, (words, params) => {
    for (const [thread, each] of params.entries()) {
      const at = (each[LITMUS_PARAM.OUT_AT] ?? 0) / 4;
      words.fill(results[thread] ?? 0, at, at + (each[LITMUS_PARAM.COUNT] ?? 0));
    }
  });

test('an outcome that the model allows: counted, and all is well', async () => {
  const row = await runLitmus(answering([1, 0]), storeBuffering, options);
  assert.is(row.failed, false);
  assert.ok(row.iterations >= 1000);
  assert.equal(
    row.outcomes.map(({ text, count }) => [text, count]),
    [
      ['r0=0 r1=0', 0],
      ['r0=0 r1=1', 0],
      ['r0=1 r1=0', row.iterations],
      ['r0=1 r1=1', 0],
    ],
  );
});

test('a forbidden outcome fails the row, and is the target here', async () => {
  const row = await runLitmus(answering([0, 0]), storeBuffering, options);
  assert.is(row.failed, true);
  const [seen] = row.outcomes.filter(({ count }) => count > 0);
  assert.equal(seen, { text: 'r0=0 r1=0', count: row.iterations, allowed: false, isTarget: true });
});

test('the same outcome with plain accesses is allowed', async () => {
  const row = await runLitmus(answering([0, 0]), litmusCase(named('SB', 'plain'), ['js']), options);
  assert.is(row.failed, false);
});

test('a value that nobody writes fails the row', async () => {
  const row = await runLitmus(answering([1, 7]), litmusCase(named('SB', 'plain'), ['js']), options);
  assert.is(row.failed, true);
  assert.equal(row.outcomes.at(-1), { text: 'r0=1 r1=7', count: row.iterations, allowed: false, isTarget: false });
});

test('a thread that stores no result fails the row', async () => {
  const row = await runLitmus(
    fakeTeam(data, () => {}),
    storeBuffering,
    options,
  );
  assert.is(row.failed, true);
});

test('stopped before the first batch: nothing was seen, nothing failed', async () => {
  const row = await runLitmus(answering([0, 0]), storeBuffering, { ...options, signal: AbortSignal.abort() });
  assert.is(row.iterations, 0);
  assert.is(row.failed, false);
});

test('a team that is too small is refused', async () => {
  const team = { ...answering([1, 0]), counts: { js: 1, wasm: 0, guest: 0, c: 0 } };
  assert.is(await codeOf(runLitmus(team, storeBuffering, options)), 'ERR_LAB_ACTOR');
});

test('why: what only a compiler could show is said to be so', async () => {
  const reasonOf = async (name: string, access: string, kind: 'js' | 'c') =>
    (await runLitmus(answering([0, 0]), litmusCase(named(name, access), [kind]), options)).reason;
  assert.match(await reasonOf('MP', 'plain', 'js'), 'only a compiler');
  assert.not.match(await reasonOf('SB', 'plain', 'js'), 'only a compiler');
  assert.not.match(await reasonOf('MP', 'plain', 'c'), 'only a compiler');
});

test('parameters that lead out of the arena, or to no program, are refused by whoever gets them', async () => {
  const [good = []] = drawBatch(seededRandom(1), { test: 0, data: { ...data, at: LAB_LAYOUT.DATA }, cpus: [0] }).params;
  const buffer = new SharedArrayBuffer(LAB_LAYOUT.DATA + LITMUS_BYTES);
  const { words } = new ActorWords(buffer, 0);
  const attempts = {
    coordinator: (params: readonly number[]) =>
      checkOrders(
        [{ actor: { kind: 'c', index: 0 }, kernel: 'litmus', params }],
        { js: 0, wasm: 0, guest: 0, c: 1 },
        buffer.byteLength,
      ),
    javascript: (params: readonly number[]) =>
      jsLitmus(arenaOf(buffer), new Uint32Array(params), new BigUint64Array(12)),
    c: (params: readonly number[]) => {
      controlWords(buffer)[LAB_CONTROL.PARTICIPANTS] = 1;
      controlWords(buffer)[LAB_CONTROL.ARRIVED] = 0;
      words.set([LAB_KERNELS.litmus], LAB_BLOCK.KERNEL);
      words.set(params, LAB_BLOCK.PARAMS);
      native().labRun(buffer, 0);
    },
  };
  const end = buffer.byteLength;
  const bad = [{ PROGRAM: 999 }, { COUNT: 3 }, { X_AT: end }, { Y_AT: end }, { OUT_AT: end }, { PACE_AT: end }];
  for (const [who, attempt] of Object.entries(attempts)) {
    attempt(good);
    for (const changed of bad) {
      const params = [...good];
      for (const [name, value] of Object.entries(changed))
        params[LITMUS_PARAM[name as keyof typeof LITMUS_PARAM]] = value;
      assert.is(await codeOf(() => attempt(params)), 'ERR_OUT_OF_RANGE', `${who} ${Object.keys(changed)}`);
    }
  }
});

test('the same seed draws the same batches, another one others', () => {
  const drawn = (seed: number) => {
    const random = seededRandom(seed);
    return Array.from({ length: 20 }, () => drawBatch(random, { test: 0, data, cpus: [0, 1] }).params);
  };
  assert.equal(drawn(3), drawn(3));
  assert.not.equal(drawn(3), drawn(4));
});

test('batches of every test lie in their data, instances apart from each other', () => {
  const random = seededRandom(9);
  for (let place = 0; place < LITMUS_TESTS.length; place++) {
    for (let round = 0; round < 10; round++) {
      const { count, areas, outAt } = drawBatch(random, { test: place, data, cpus: [0, 1] });
      const places = [areas.x, areas.y].flatMap(({ placeOf }) =>
        Array.from({ length: count }, (_none, i) => placeOf(i)),
      );
      assert.is(new Set(places).size, 2 * count, 'no word is used twice');
      assert.ok(Math.max(...outAt) + 16 * count <= Math.min(areas.x.at, areas.y.at));
      assert.ok(places.every(at => at % 4 === 0 && at >= data.at && at + 4 <= data.at + data.bytes));
    }
  }
});

test('cases: each ordered pair of the kinds named; quick: one pair, of different kinds; suites choose tests', () => {
  const scenario = { suites: ['litmus'], actors: ['js:2', 'guest:1+js:1'], quick: false };
  const cases = litmusCases(scenario);
  assert.is(cases.length, 4 * LITMUS_TESTS.length);
  assert.is(new Set(cases.map(({ id }) => id)).size, cases.length);
  assert.equal(litmusCounts(cases), { js: LITMUS_THREADS_MAX, wasm: 0, guest: LITMUS_THREADS_MAX, c: 0 });
  const quick = litmusCases({ ...scenario, suites: ['litmus/MP'], quick: true });
  assert.equal(
    quick.map(({ id }) => id),
    ['litmus/MP/plain/guest+js', 'litmus/MP/atomic/guest+js'],
  );
  assert.equal(litmusCases({ ...scenario, suites: ['stream'] }), []);
});

test('every test between JavaScript, WebAssembly and C threads: no forbidden outcome', async () => {
  const pairs = [
    ['js', 'c'],
    ['wasm', 'js'],
    ['c', 'c'],
  ] as const;
  const cases = pairs.flatMap(pair => LITMUS_TESTS.map(each => litmusCase(each, pair)));
  await using team = await openTeam({ bytes: LITMUS_BYTES, counts: litmusCounts(cases) });
  for (const each of cases) {
    const row = await runLitmus(team, each, { ...options, iterations: 10_000 });
    assert.is(row.failed, false, `${row.id} ${JSON.stringify(row.outcomes)}`);
    assert.is(
      row.outcomes.reduce((sum, { count }) => sum + count, 0),
      row.iterations,
    );
  }
});

test.run();
