// The exit storm: every variant makes the exits it says, on one vCPU and on two, and tells how long they took.

import * as assert from 'uvu/assert';
import { exitStorm } from '../../src/main/lab/workloads/exit-storm.ts';
import { kvmSuite } from '../harness.ts';
import { labContext } from '../lab-context.ts';
import { slowness } from '../slowness.ts';

const test = kvmSuite('lab: exit storm');

const variants = exitStorm.variants(labContext());

test('every kind of exit on every thread, with one vCPU and with two', () => {
  const names = variants.map(({ actors, parameters }) => `${actors} ${parameters['exit']} ${parameters['device']}`);

  assert.equal(new Set(names).size, 8);
  assert.is(exitStorm.variants(labContext({ quick: true })).length, 4);
});

test('every one has a baseline in C', () => {
  assert.ok(variants.every(({ openBaseline }) => openBaseline !== undefined));
});

/** Where time is dear, what a quick run has. */
const run = slowness > 1 ? exitStorm.variants(labContext({ quick: true })) : variants;
const sides = run.flatMap(({ actors, count, parameters: { exit, device }, open, openBaseline }) => {
  const name = `${actors}, ${exit} handled on ${device}`;
  const baseline = openBaseline === undefined ? [] : [{ name: `${name}, baseline`, count, open: openBaseline }];
  return [{ name, count, open }, ...baseline];
});

for (const side of sides) {
  test(`${side.name}: repetitions give a rate that fits their time`, async () => {
    await using open = await side.open();

    const first = await open.repeat(1);
    const firstNs = open.lastNs;
    const fourth = await open.repeat(4);

    assert.ok(first.value > 0 && fourth.value > 0);
    // Mops/s times microseconds: the exits of all vCPUs.
    assert.is(Math.round((first.value * firstNs) / 1e3), 50 * side.count);
    assert.is(Math.round((fourth.value * open.lastNs) / 1e3), 200 * side.count);
  });
}

test.run();
