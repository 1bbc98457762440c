// Every workload that is made of kernels, by guests and by a guest with a JavaScript thread. Each repetition checks what was left behind.

import { availableParallelism } from 'node:os';
import * as assert from 'uvu/assert';
import { kvmSuite, suiteUnless } from '../harness.ts';
import { measured } from '../lab-small-run.ts';

const name = 'lab: workloads with guests';
const test = availableParallelism() >= 2 ? kvmSuite(name) : suiteUnless('actors need a CPU each, there is one', name);

test('work on memory', async () => {
  const rows = await measured(['stream', 'access'], ['guest:1', 'guest:1+js:1']);
  assert.is(rows.length, 2 * 7);
});

test('work on words that others write', async () => {
  const rows = await measured(['atomics', 'sharing', 'locks', 'rings'], ['guest:1+js:1', 'wasm:1+guest:1']);
  assert.is(rows.length, 2 * 7);
});

test.run();
