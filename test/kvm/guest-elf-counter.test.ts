// The ELF guest's `lock xadd` on several vCPUs and Atomics.add in JavaScript on the same word: the sum is exact.

import { u32le } from 'node-kvm';
import * as assert from 'uvu/assert';
import { ARRIVED_ADDRESS } from '../../examples/guest/guest.ts';
import { finish, loadCounter } from '../counter-guest.ts';
import { kvmSuite } from '../harness.ts';

const test = kvmSuite('guest elf counter');

for (const { vcpus, cpl, iterations } of [
  { vcpus: 2, cpl: 0, iterations: 20_000 },
  { vcpus: 2, cpl: 3, iterations: 1_000_000 },
  { vcpus: 8, cpl: 3, iterations: 200_000 },
] as const) {
  test(`${vcpus} vCPUs in ring ${cpl} and the main thread`, async () => {
    const adds = 50_000;
    const run = await loadCounter({ vcpus, cpl }, ['count'], { iterations, participants: vcpus + 1 });
    await using vm = run.vm;
    const { atomics } = vm.memory;
    const ended = finish(run);
    // The guest waits for this thread: both add at the same time.
    while (atomics.load(ARRIVED_ADDRESS, u32le) < vcpus) await new Promise(resolve => setImmediate(resolve));
    atomics.add(ARRIVED_ADDRESS, u32le, 1);
    for (let i = 0; i < adds; i++) atomics.add(run.params.counter, u32le, 1);
    const { result, reports } = await ended;
    assert.is(result.reason, 'power-off', result.error?.message);
    assert.ok(reports.every(report => report.counted === iterations));
    assert.is(atomics.load(run.params.counter, u32le), vcpus * iterations + adds);
  });
}

test.run();
