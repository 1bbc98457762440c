// Threads that were terminated in the guest keep nobody waiting: a change of memory goes through, the machine ends with an error.

import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = kvmSuite('a pool is disposed of under a machine');

test('and a region is removed at once', async () => {
  const child = await runHazard('pool-disposed');

  assert.is(child.code, 0, child.stderr);
  assert.match(child.stdout, 'removed\nfinished error ERR_VCPU_DIED\ndisposed\n');
  assert.ok(child.sawEvent && child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
});

test.run();
