// `node-kvm doctor`: a table for people, the same facts as JSON, and status 0 as long as some engine works.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeKvm, WITHOUT_KVM } from '../command.ts';

const test = suite('cli doctor');

test('the table names engines, KVM, trackers, huge pages and Node', async () => {
  const { status, stdout, stderr } = await nodeKvm(['doctor']);
  assert.is(status, 0);
  assert.is(stderr, '');
  for (const word of [
    "engine 'kvm'",
    "engine 'host'",
    'KVM',
    'dirty bitmap',
    'pagemap',
    'huge page',
    process.version,
  ]) {
    assert.ok(stdout.includes(word), word);
  }
});

test('--json is one JSON object with the facts of probe()', async () => {
  const { status, stdout } = await nodeKvm(['doctor', '--json']);
  assert.is(status, 0);
  const facts = JSON.parse(stdout);
  assert.equal(Object.keys(facts), ['system', 'node', 'kvm', 'dirtyTracking', 'hugePages', 'engines']);
});

test('without KVM it says so and what to do, and status is 0 because engine host works', async () => {
  const { status, stdout } = await nodeKvm(['doctor'], { env: WITHOUT_KVM });
  assert.is(status, 0);
  assert.match(stdout, /there is no \/dev\/kvm-is-hidden/);
  assert.match(stdout, /what to do/);
  assert.match(stdout, /takes 'host'/);
});

test.run();
