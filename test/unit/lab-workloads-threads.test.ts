// Workloads whose actors wait for each other, between threads of every kind and in both directions. Each repetition checks order, sums and what locks
// guard: a lost update, a torn read or an item that came twice makes the run reject.

import { availableParallelism } from 'node:os';
import * as assert from 'uvu/assert';
import { suiteUnless } from '../harness.ts';
import { measured } from '../lab-small-run.ts';

const test = suiteUnless(
  availableParallelism() >= 2 ? undefined : 'actors need a CPU each, there is one',
  'lab: workloads between threads',
);

const PAIRS = ['js:1+wasm:1', 'wasm:1+c:1', 'c:1+js:1'];
for (const suite of ['locks', 'rings']) {
  const names = suite === 'locks' ? ['seqlock', 'ticket'] : ['spsc', 'mpmc'];
  test(`${suite}, both actors of different kinds`, async () => {
    const expected = names.flatMap(name => PAIRS.map(pair => `${suite}/${name} ${pair}`));
    assert.equal(await measured([suite], PAIRS), expected);
  });
}

test('counters that all actors add to', async () => {
  const expected = ['atomics/add', 'atomics/cas', 'sharing/increment'];
  assert.equal(
    await measured(['atomics', 'sharing'], ['js:1+wasm:1']),
    expected.map(name => `${name} js:1+wasm:1`),
  );
});

test.run();
