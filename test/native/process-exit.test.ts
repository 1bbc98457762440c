// process.exit() ends the process at once, with its status, although threads are in KVM_RUN.

import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = kvmSuite('process.exit while vCPUs run');

for (const ring of ['0', '3']) {
  test(`guest at ring ${ring}`, async () => {
    const child = await runHazard('process-exit', { args: [ring] });

    assert.is(child.code, 3, child.stderr);
    assert.ok(child.sawEvent && child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
  });
}

test('nobody keeps the machine', async () => {
  const child = await runHazard('forgotten-machine', { nodeArgs: ['--expose-gc'] });

  assert.is(child.code, 4, child.stderr);
  assert.ok(child.sawEvent && child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
});

test('machines that do not run keep no process alive', async () => {
  const child = await runHazard('idle-machine');

  assert.is(child.code, 0, child.stderr);
  assert.ok(child.sawEvent && child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
});

test.run();
