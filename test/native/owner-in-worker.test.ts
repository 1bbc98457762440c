// A machine that was created inside a worker thread ends with that thread, and leaves no thread behind.

import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = kvmSuite('the owner is a worker and ends');

for (const [end, expected] of [
  ['terminate', 'exit 1, 0 threads more'],
  ['exit', 'exit 5, 0 threads more'],
  ['throw', 'error thrown in the worker\nexit 1, 0 threads more'],
] as const) {
  test(`by ${end}`, async () => {
    const child = await runHazard('owner-in-worker', { args: [end] });

    assert.is(child.code, 0, child.stderr);
    assert.match(child.stdout, expected);
    assert.ok(child.sawEvent && child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
  });
}

test.run();
