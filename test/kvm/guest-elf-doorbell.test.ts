// The ELF guest rings a doorbell: a store to a device's address wakes Atomics.waitAsync, and the answer in guest RAM lets
// the guest go on.

import * as assert from 'uvu/assert';
import { answerDoorbell } from '../../examples/main-job/helpers.ts';
import { finish, loadCounter } from '../counter-guest.ts';
import { kvmSuite } from '../harness.ts';

const test = kvmSuite('guest elf doorbell');

for (const cpl of [0, 3] as const) {
  test(`every ring from ring ${cpl} is heard and answered`, async () => {
    const rings = 16;
    const run = await loadCounter({ vcpus: 1, cpl }, ['doorbell'], { rings });
    await using vm = run.vm;
    const answers = answerDoorbell(run.bell, vm.memory, rings);
    const { result, reports } = await finish(run);
    assert.is(result.reason, 'power-off', result.error?.message);
    assert.is(answers.rings, rings);
    assert.ok((reports[0]?.ringCycles ?? 0n) > 0n);
    assert.is(vm.stats().total.exitsByReason['mmio'], rings);
  });
}

test.run();
