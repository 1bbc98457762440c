// A worker that sleeps in a wait for events does not keep worker.terminate() or process.exit() from ending it.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = suite('a worker waits for events and is ended');

for (const [end, code, stdout] of [
  ['terminate', 0, 'EVENT\nterminated 1\n'],
  ['exit', 3, 'EVENT\n'],
] as const) {
  test(`by ${end}`, async () => {
    const child = await runHazard('waiting-worker', { args: [end] });

    assert.is(child.code, code, child.stderr);
    assert.is(child.stdout, stdout);
    assert.ok(child.sawEvent && child.msAfterEvent < 3000 * slowness, `took ${child.msAfterEvent} ms`);
  });
}

test.run();
