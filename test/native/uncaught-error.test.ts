// An exception or rejection that nobody handles ends the process as it always does, although vCPUs are in the guest.

import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = kvmSuite('uncaught error while vCPUs run');

for (const [name, message] of [
  ['uncaught-throw', 'nobody catches this'],
  ['unhandled-rejection', 'nobody handles this'],
] as const) {
  test(name, async () => {
    const child = await runHazard(name);

    assert.is(child.code, 1, child.stderr);
    assert.match(child.stderr, message);
    assert.ok(child.sawEvent && child.msAfterEvent < 1000 * slowness, `took ${child.msAfterEvent} ms`);
  });
}

test.run();
