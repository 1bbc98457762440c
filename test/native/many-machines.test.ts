// A thousand machines on one pool: no descriptor, no mapping and no thread is left of them.

import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = kvmSuite('a thousand machines');

test('created, run and destroyed', async () => {
  const child = await runHazard('many-machines', { args: ['1000'], nodeArgs: ['--expose-gc'], limitMs: 100_000 });
  const left = JSON.parse(/^LEFT (.*)$/m.exec(child.stdout)?.[1] ?? '{}');

  assert.is(child.code, 0, child.stderr);
  assert.is(left.fds, 0);
  assert.is(left.threads, 0);
  // V8's own heap grows by some mappings; each machine has three of its own at least.
  assert.ok(left.mappings < 500, `${left.mappings} mappings more`);
  assert.ok(child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms to end`);
});

test.run();
