// A watcher that nobody closed keeps no thread from ending, whatever ends it, and goes with its handle.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { slowness } from '../slowness.ts';
import { runHazard } from './run-hazard.ts';

const test = suite('events are watched and the thread ends');

for (const [end, code, stdout] of [
  ['terminate', 0, 'EVENT\nterminated 1\n'],
  ['exit', 3, 'EVENT\n'],
  ['main-exit', 3, 'EVENT\n'],
  ['collect', 0, 'EVENT\ncalls 0\n'],
] as const) {
  test(`by ${end}`, async () => {
    const child = await runHazard('watching-events', { args: [end], nodeArgs: ['--expose-gc'] });

    assert.is(child.code, code, child.stderr);
    assert.is(child.stdout, stdout);
    assert.ok(child.sawEvent && child.msAfterEvent < 3000 * slowness, `took ${child.msAfterEvent} ms`);
  });
}

test.run();
