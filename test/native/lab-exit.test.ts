// process.exit() ends the process at once although actors of the lab wait for each other.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hasKvm } from '../harness.ts';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = suite('process.exit while actors wait');

test('threads, and a guest where there is KVM', async () => {
  const child = await runHazard('lab-exit', { args: [hasKvm ? '1' : '0'] });

  assert.is(child.code, 3, child.stderr);
  assert.ok(child.sawEvent && child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
});

test.run();
