// Wake-ups between JavaScript threads: every question is answered, each has its time, and the threads end with the variant.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { OpenVariant } from '../../src/main/lab/workload.ts';
import { wakeUps } from '../../src/main/lab/workloads/wake-ups.ts';
import { labContext } from '../lab-context.ts';

const test = suite('lab: wake-ups');

async function repeatTwice(opening: () => Promise<OpenVariant>): Promise<void> {
  await using open = await opening();
  for (const scale of [1, 3]) {
    const { value, latenciesNs } = await open.repeat(scale);
    const times = Array.from(latenciesNs ?? []);

    assert.is(times.length, 20 * scale);
    assert.ok(times.every(ns => ns > 0));
    assert.ok(times.reduce((sum, ns) => sum + ns, 0) <= open.lastNs);
    assert.ok(Math.abs(value * 20 * scale * 1e3 - open.lastNs) < 1);
  }
}

for (const variant of wakeUps.variants({ ...labContext(), hasKvm: false })) {
  test(`${variant.actors} by ${variant.parameters['via']}`, () => repeatTwice(variant.open));
  test(`${variant.actors} by ${variant.parameters['via']}: baseline`, () => {
    const { openBaseline } = variant;
    assert.ok(openBaseline);
    return repeatTwice(openBaseline);
  });
}

test('without KVM what needs a guest is skipped', () => {
  const context = { ...labContext(), hasKvm: false };

  const variants = wakeUps.variants(context);

  assert.equal(
    variants.map(({ parameters }) => parameters['via']),
    ['wait', 'waitAsync'],
  );
  assert.equal(
    context.skipped.map(({ what }) => what),
    ['wake/round-trip, doorbell and ioeventfd'],
  );
});

test.run();
