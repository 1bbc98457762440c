// Facts of the machine that go with a run: readings of /proc as they look, and this machine's own.

import { cpus } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { allowedCpus, cpuTimes, machineFacts, shareOf } from '../../src/main/lab/machine-facts.ts';

const test = suite('lab machine facts');

test('times of all CPUs: guest time is part of user time and not counted twice', () => {
  const stat = 'cpu  100 20 30 400 5 6 7 32 90 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n';
  // Others: user, nice, system, irq and softirq, without what was this process.
  assert.equal(cpuTimes(stat, 63), { total: 600, stolen: 32, others: 100 });
  assert.equal(cpuTimes('cpu  100 20 30 400\n', 0), { total: 550, stolen: 0, others: 150 });
  assert.equal(cpuTimes('', 0), { total: 0, stolen: 0, others: 0 });
});

test('shares are those between two readings', () => {
  const before = { total: 100, stolen: 50, others: 10 };
  assert.is(shareOf('stolen', before, { total: 300, stolen: 60, others: 20 }), 0.05);
  assert.is(shareOf('others', before, { total: 300, stolen: 60, others: 110 }), 0.5);
  assert.is(shareOf('stolen', before, before), 0);
  assert.is(shareOf('others', before, { total: 200, stolen: 50, others: 5 }), 0);
});

test('CPUs that the process may run on: lists and ranges', () => {
  assert.equal(allowedCpus('Name:\tnode\nCpus_allowed_list:\t0-2,5,8-9\n'), [0, 1, 2, 5, 8, 9]);
  assert.equal(allowedCpus('Cpus_allowed_list:\t3\n'), [3]);
  assert.is(allowedCpus('').length, cpus().length);
  assert.ok(allowedCpus().length >= 1 && allowedCpus().length <= cpus().length);
});

test('this machine has facts for all that a report wants', () => {
  const since = cpuTimes();
  const facts = machineFacts({ since, loadAverage: 0.5, pinned: [0], clockNs: { js: 30 } });
  assert.equal(facts.pinned, [0]);
  assert.equal(facts.clockNs, { js: 30 });
  assert.is(facts.cpus, cpus().length);
  assert.is(facts.node, process.version);
  for (const key of ['cpu', 'kernel', 'kvm', 'v8', 'governor'] as const) assert.ok(facts[key].length > 0, key);
  assert.ok(facts.memoryBytes > 0 && facts.loadAverage === 0.5);
  assert.ok(facts.stolen >= 0 && facts.stolen <= 1);
  for (const cache of facts.caches) assert.match(cache, /^L\d \w+ \d+[KMG]( shared by CPUs [\d,-]+)?$/);
  assert.equal(JSON.parse(JSON.stringify(facts)), facts);
});

test.run();
