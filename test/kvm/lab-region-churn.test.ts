// Regions that come and go under load: every variant gives a time per change, whoever loads the machine, and whether or not they write to the region; it
// checks by itself that what they write is there, and that they survive when it is not.

import * as assert from 'uvu/assert';
import { regionChurn } from '../../src/main/lab/workloads/region-churn.ts';
import { kvmSuite } from '../harness.ts';
import { labContext } from '../lab-context.ts';

const test = kvmSuite('lab: region churn');

const actors = ['guest:2', 'js:1', 'wasm:1', 'js:1+guest:1'];
const variants = regionChurn.variants(labContext({ actors }));

test('the mix decides on the load', () => {
  assert.equal(
    variants.map(({ actors: mix, parameters: { load } }) => `${mix} ${load}`),
    ['guest:2 idle', 'guest:2 busy', 'guest:2 inside', 'js:1 inside', 'wasm:1 busy', 'js:1+guest:1 inside'],
  );
  assert.is(regionChurn.variants(labContext({ actors, quick: true })).length, actors.length);
  assert.is(regionChurn.variants({ ...labContext({ actors }), hasKvm: false }).length, 0);
});

const sides = variants.flatMap(({ actors: mix, parameters: { load }, open, openBaseline }) => [
  { name: `${mix}, ${load}`, load, open },
  { name: `${mix}, ${load}, baseline`, load, open: async () => openBaseline?.() },
]);

for (const side of sides) {
  test(`${side.name}: a time for each change, repetition after repetition`, async () => {
    await using open = await side.open();
    assert.ok(open);

    for (const scale of [1, 4]) {
      const { value, latenciesNs } = await open.repeat(scale);

      assert.is(latenciesNs?.length, scale);
      assert.ok(value > 0);
      // Microseconds each, nanoseconds together; with the load inside there is waiting between them.
      const waited = open.lastNs - value * scale * 1e3;
      assert.ok(side.load === 'inside' ? waited > 0 : Math.abs(waited) < 1, `${waited} ns`);
    }
  });
}

test.run();
