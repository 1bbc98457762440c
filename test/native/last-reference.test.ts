// Guest memory lives as long as any thread holds it, and no longer: the last reference is dropped by a worker's collector.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = suite('last reference is dropped in a worker');

test('the worker reads on after the owner is gone, and its collector unmaps', async () => {
  const child = await runHazard('last-reference-in-worker', { nodeArgs: ['--expose-gc'] });

  assert.is(child.code, 0, child.stderr);
  assert.match(child.stdout, 'owner is gone, mapped: true');
  assert.match(child.stdout, 'the worker still reads 1,2,3');
  assert.match(child.stdout, 'worker dropped it, mapped: false');
  assert.ok(child.sawEvent && child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
});

test.run();
