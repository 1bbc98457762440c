// Workloads made of kernels: what they order, and that a wrong result does not pass. Actors that never wait for each other run one after another here;
// the others are in lab-workloads-threads.test.ts.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { catalog, nameOf } from '../../src/main/lab/catalog.ts';
import { checkScenario } from '../../src/main/lab/scenario-schema.ts';
import type { LabContext, Variant } from '../../src/main/lab/workload.ts';
import { rateMops, spanNs } from '../../src/main/lab/workloads/kernel-workload.ts';
import { codeOf } from '../errors.ts';
import { FakeTeam } from '../lab-fake-team.ts';

const test = suite('lab: workloads');
const SIZE = 64 * 1024;

/** The variants of a workload for a mix, with the team that they will work on. */
function variantsOf(
  name: string,
  mix: string,
  size = SIZE,
): { variants: Variant[]; team: FakeTeam; skipped: string[] } {
  const workload = catalog.find(each => nameOf(each) === name);
  assert.ok(workload, name);
  const team = new FakeTeam(size);
  const skipped: string[] = [];
  const context: LabContext = {
    scenario: checkScenario(
      { actors: [mix], sizes: [size], seed: 5 },
      { cpus: 32, hasKvm: true, memoryBytes: 2 ** 30 },
    ),
    hasKvm: true,
    cpus: [3, 5],
    team: async () => team,
    skip: what => skipped.push(what),
  };
  return { variants: workload.variants(context), team, skipped };
}

test('actors that worked one after another are not called as fast as together', () => {
  const result = (startNs: number, ns: number) => ({ startNs, ns, ops: 1000, values: [1000n] });
  assert.is(spanNs([result(0, 100)]), 100);
  assert.is(spanNs([result(-5, 100), result(0, 90)]), 100);
  const held = [result(-200, 100), result(0, 100)];
  assert.is(spanNs(held), 300);
  assert.is(rateMops(held), (2000 / 300) * 1e3);
  assert.is(spanNs([result(7, 0)]), 1, 'at least 1');
});

const ALONE = [
  'stream/read',
  'stream/write',
  'stream/copy',
  'stream/triad',
  'stream/strided',
  'access/random',
  'access/chase',
  'atomics/add',
  'atomics/cas',
  'sharing/increment',
];

for (const name of ALONE) {
  test(`${name}: right results pass, with any number of actors and any scale`, async () => {
    for (const mix of ['js:1', 'js:2+wasm:1']) {
      for (const variant of variantsOf(name, mix).variants) {
        await using open = await variant.open();
        for (const scale of [1, 3]) {
          const { value } = await open.repeat(scale);
          assert.ok(value > 0 && Number.isFinite(value), `${value}`);
          assert.ok(open.lastNs > 0);
        }
      }
    }
  });

  test(`${name}: work left undone does not pass`, async () => {
    const { variants, team } = variantsOf(name, 'js:1');
    team.spoil = results => {
      for (const result of results) result.ops -= 1;
    };
    for (const variant of variants) {
      await using open = await variant.open();
      assert.is(await codeOf(open.repeat(1)), 'ERR_LAB_RESULT');
    }
  });
}

const SPOILT: [name: string, parameters: object, spoil: FakeTeam['spoil']][] = [
  ['stream/read', {}, ([result]) => flip(result)],
  ['stream/write', {}, (_, data) => data.fill(7, 0, 2)],
  ['stream/copy', {}, (_, data) => data.fill(7, 0, 2)],
  ['stream/triad', {}, (_, data) => data.fill(7, 0, 2)],
  ['stream/strided', {}, ([result]) => flip(result)],
  ['access/random', { writes: 0 }, ([result]) => flip(result)],
  ['access/random', { writes: 64 }, (_, data) => data.fill(0)],
  ['access/chase', {}, ([result]) => flip(result)],
  ['atomics/add', {}, (_, data) => data.fill(7, 0, 1)],
  ['atomics/cas', {}, (_, data) => data.fill(7, 0, 1)],
  ['sharing/increment', {}, (_, data) => data.fill(7, 0, 1)],
];

/** Another sum than the kernel's. */
function flip(result: { values: bigint[] } | undefined): void {
  if (result) result.values[1] = (result.values[1] ?? 0n) ^ 1n;
}

for (const [name, parameters, spoil] of SPOILT) {
  test(`${name} ${JSON.stringify(parameters)}: a wrong result does not pass`, async () => {
    const { variants, team } = variantsOf(name, 'js:1');
    team.spoil = spoil;
    const chosen = variants.filter(variant =>
      Object.entries(parameters).every(([k, v]) => variant.parameters[k] === v),
    );
    assert.ok(chosen.length > 0);
    for (const variant of chosen) {
      await using open = await variant.open();
      assert.is(await codeOf(open.repeat(1)), 'ERR_LAB_RESULT');
    }
  });
}

test('each actor of the mix has an order, on a CPU of its own; the baseline has C threads', async () => {
  const { variants, team } = variantsOf('atomics/add', 'guest:1+js:1');
  const [variant] = variants;
  assert.ok(variant?.openBaseline);
  await using open = await variant.open();
  await open.repeat(1);
  await using baseline = await variant.openBaseline();
  await baseline.repeat(1);
  const given = team.ordered.map(({ actor, cpu }) => `${actor.kind}${actor.index} on ${cpu}`);
  assert.equal(given, ['guest0 on 3', 'js0 on 5', 'c0 on 3', 'c1 on 5']);
});

test('C is not held against itself', () => {
  const [variant] = variantsOf('atomics/add', 'c:2').variants;
  assert.is(variant?.openBaseline, undefined);
});

test('variants that take turns on one memory find what they need, whatever the one before left', async () => {
  const team = new FakeTeam(SIZE);
  const context: LabContext = {
    scenario: checkScenario(
      { actors: ['js:1'], sizes: [SIZE], seed: 5 },
      { cpus: 2, hasKvm: false, memoryBytes: 2 ** 30 },
    ),
    hasKvm: false,
    cpus: [],
    team: async () => team,
    skip() {},
  };
  const variants = catalog.filter(each => ALONE.includes(nameOf(each))).flatMap(each => each.variants(context));
  const open = await Promise.all(variants.map(variant => variant.open()));
  for (const each of [...open, ...open.toReversed()]) await each.repeat(2);
  assert.ok(team.ordered.length >= 2 * ALONE.length);
});

test('parts of the actors do not overlap, and lie within the data', async () => {
  for (const name of ['stream/read', 'stream/write', 'access/random', 'stream/strided']) {
    const { variants, team } = variantsOf(name, 'js:3');
    for (const variant of variants) {
      team.ordered.length = 0;
      await using open = await variant.open();
      await open.repeat(1);
      const parts = team.ordered.map(({ params: [at = 0, bytes = 0] }) => ({ at, end: at + bytes }));
      parts.sort((a, b) => a.at - b.at);
      let free = team.data.at;
      for (const { at, end } of parts) {
        assert.ok(at >= free && end > at, `${name}: ${at}-${end} after ${free}`);
        free = end;
      }
      assert.ok(free <= team.data.at + SIZE);
    }
  }
});

test('too few strides for the actors are told, not measured', () => {
  const { variants, skipped } = variantsOf('stream/strided', 'js:16', SIZE / 4);
  assert.equal(
    variants.map(({ parameters }) => parameters['stride']),
    [64],
  );
  assert.equal(skipped, ['stream/strided/js:16']);
});

test('queues and the seqlock are for two actors at least, the ring for exactly two', () => {
  const counted = (name: string) => ['js:1', 'js:2', 'js:3'].map(mix => variantsOf(name, mix).variants.length);
  assert.equal(counted('rings/spsc'), [0, 1, 0]);
  assert.equal(counted('rings/mpmc'), [0, 1, 1]);
  assert.equal(counted('locks/seqlock'), [0, 1, 1]);
});

test('every workload says what it measures', () => {
  for (const { title, model, kinds } of catalog) {
    assert.ok(title.length > 10 && model.length > 100);
    assert.ok(kinds.length > 0);
  }
  assert.is(new Set(catalog.map(nameOf)).size, catalog.length);
});

test.run();
