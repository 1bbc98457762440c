// worker.terminate() on the pool's own workers while their vCPUs run: it returns, the machine ends with an error, the process too.

import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = kvmSuite('pool workers are terminated');

for (const ring of ['0', '3']) {
  test(`guest at ring ${ring}`, async () => {
    const child = await runHazard('terminate-pool-workers', { args: [ring] });

    assert.is(child.code, 0, child.stderr);
    assert.match(child.stdout, 'finished error ERR_VCPU_DIED\ndisposed\n');
    assert.ok(child.sawEvent && child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
  });
}

test.run();
