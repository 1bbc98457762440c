// A full signal queue (RLIMIT_SIGPENDING) delays kicks until the next heartbeat, and nothing else.

import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = kvmSuite('no signals left');

test('a region is removed and the machine stopped', async () => {
  const child = await runHazard('no-signals-left');

  assert.is(child.code, 0, child.stderr);
  assert.match(child.stdout, 'finished stopped');
  assert.ok(child.sawEvent && child.msAfterEvent < 2000 * slowness, `took ${child.msAfterEvent} ms`);
});

test.run();
