// SIGTERM and SIGINT end the process at once although vCPUs are in the guest: by default, and by a handler that calls process.exit().

import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = kvmSuite('signal while vCPUs run');

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} without a handler`, async () => {
    const child = await runHazard('wait-for-signal', { send: signal });

    assert.is(child.signal, signal, child.stderr);
    assert.ok(child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
  });
}

test('SIGTERM with a handler', async () => {
  const child = await runHazard('wait-for-signal', { args: ['handler'], send: 'SIGTERM' });

  assert.is(child.code, 7, child.stderr);
  assert.ok(child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
});

test.run();
