// The example that copies a running VM's memory ends with an equal copy.

import * as assert from 'uvu/assert';
import { runScript } from '../command.ts';
import { kvmSuite } from '../harness.ts';

const test = kvmSuite('example live-copy');

test('the first round is everything, the rounds come to an end, and the copy is equal', async () => {
  const { status, stdout, stderr } = await runScript('build/examples/live-copy.js', [], { timeoutMs: 100_000 });
  assert.is(status, 0, stdout + stderr);
  assert.match(stdout, /first round: 16384 pages/);
  assert.match(stdout, /last round, paused: \d+ pages\nthe copy is equal/);
});

test.run();
