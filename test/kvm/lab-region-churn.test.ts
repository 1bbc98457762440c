// Regions that come and go under load: every variant gives a time per change, and leaves no region behind.

import * as assert from 'uvu/assert';
import { regionChurn } from '../../src/main/lab/workloads/region-churn.ts';
import { kvmSuite } from '../harness.ts';
import { labContext } from '../lab-context.ts';

const test = kvmSuite('lab: region churn');

const sides = regionChurn.variants(labContext()).flatMap(({ actors, parameters: { load }, open, openBaseline }) => [
  { name: `${actors}, ${load}`, open },
  { name: `${actors}, ${load}, baseline`, open: async () => openBaseline?.() },
]);

for (const side of sides) {
  test(`${side.name}: a time for each change, repetition after repetition`, async () => {
    await using open = await side.open();
    assert.ok(open);

    for (const scale of [1, 5, 20]) {
      const { value, latenciesNs } = await open.repeat(scale);

      assert.is(latenciesNs?.length, scale);
      assert.ok(value > 0);
      // Microseconds each, nanoseconds together.
      assert.ok(Math.abs(value * scale * 1e3 - open.lastNs) < 1);
    }
  });
}

test.run();
