// The dirty storm: every axis with every source that works here; what is harvested is checked by the workload itself, and the rate over
// time is kept.

import * as assert from 'uvu/assert';
import { dirtyStorm } from '../../src/main/lab/workloads/dirty-storm.ts';
import { kvmSuite } from '../harness.ts';
import { labContext } from '../lab-context.ts';
import { slowness } from '../slowness.ts';

const test = kvmSuite('lab: dirty storm');

const context = labContext();
const variants = dirtyStorm.variants(context);
const text = (parameters: Readonly<Record<string, string | number>>) => Object.values(parameters).join(' ');

test('a source that does not work here is skipped with its reason', () => {
  const measured = new Set(variants.map(({ parameters }) => parameters['source']));
  for (const source of context.scenario.sources) {
    assert.is(measured.has(source), !context.skipped.some(({ what }) => what.endsWith(source)), source);
  }
  assert.ok(measured.has('bitmap') && measured.has('host'));
});

test('every source has a baseline in C', () => {
  assert.ok(variants.every(({ openBaseline }) => openBaseline !== undefined));
});

test('a quick run has no axes but the vCPUs', () => {
  const quick = dirtyStorm.variants(labContext({ quick: true }));

  assert.ok(quick.length < variants.length);
  assert.ok(quick.every(({ parameters }) => parameters['slots'] === 1 && parameters['writes %'] === 100));
});

test('without KVM only the host source is measured, and the others are said', () => {
  const blind = { ...labContext(), hasKvm: false };

  assert.equal(
    dirtyStorm.variants(blind).map(({ parameters }) => parameters['source']),
    ['host'],
  );
  assert.is(blind.skipped.length, 3);
});

test('sizes that are too small for it are said', () => {
  const small = labContext({ sizes: [4096] });

  assert.equal(dirtyStorm.variants(small), []);
  assert.is(small.skipped.length, 1);
});

/** Where time is dear, every source, but not every axis. */
const run = slowness > 1 ? dirtyStorm.variants(labContext({ quick: true })) : variants;
const sides = run.flatMap(({ actors, parameters, open, openBaseline }) => {
  const name = `${actors}, ${text(parameters)}`;
  return openBaseline === undefined
    ? [{ name, open }]
    : [
        { name, open },
        { name: `${name}, baseline`, open: openBaseline },
      ];
});

for (const side of sides) {
  test(`${side.name}: writes are harvested round by round`, async () => {
    await using open = await side.open();

    for (let round = 0; round < 3; round++) {
      const { value, latenciesNs } = await open.repeat(1);
      assert.ok(value > 0 && Number.isFinite(value));
      assert.is(latenciesNs?.length, 1);
    }

    assert.equal(
      open.series?.map(({ name, points }) => [name, points.length]),
      [
        ['dirty rate', 3],
        ['harvest', 3],
      ],
    );
  });
}

test.run();
