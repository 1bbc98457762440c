// Disposing twice, disposing while an operation is under way, and using views afterwards: nothing crashes, nothing hangs.

import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = kvmSuite('dispose');

test('twice, then used', async () => {
  const child = await runHazard('double-dispose');

  assert.is(child.code, 0, child.stderr);
  assert.is(child.stdout, "EVENT\nmemory ERR_DISPOSED\nmachine's memory ERR_DISPOSED\nstart ERR_DISPOSED\n");
  assert.ok(child.msAfterEvent < 2000 * slowness, `took ${child.msAfterEvent} ms`);
});

for (const operation of ['load', 'start', 'pause', 'resume', 'stop']) {
  test(`during ${operation}()`, async () => {
    const child = await runHazard('dispose-during', { args: [operation] });

    assert.is(child.code, 0, child.stderr);
    assert.match(child.stdout, /^operation (done|ERR_DISPOSED|ERR_STATE|ERR_ABORTED)$/m);
    assert.match(child.stdout, 'finished stopped');
    assert.ok(child.sawEvent && child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
  });
}

test('raw views stay usable', async () => {
  const child = await runHazard('views-after-dispose', { nodeArgs: ['--expose-gc'] });

  assert.is(child.code, 0, child.stderr);
  assert.match(child.stdout, 'counted true, wrote 42');
});

test.run();
