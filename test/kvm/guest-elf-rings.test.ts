// The project's ELF guest in ring 0 and in ring 3: it knows its ring, prints a whole line per vCPU, and powers off.

import * as assert from 'uvu/assert';
import { finish, loadCounter } from '../counter-guest.ts';
import { kvmSuite } from '../harness.ts';

const test = kvmSuite('guest elf rings');

for (const [cpl, vcpus] of [
  [0, 1],
  [3, 1],
  [0, 2],
  [3, 4],
] as const) {
  test(`ring ${cpl}, ${vcpus} vCPUs`, async () => {
    const run = await loadCounter({ vcpus, cpl }, ['print']);
    await using vm = run.vm;
    const { result, reports } = await finish(run);
    assert.is(result.reason, 'power-off', result.error?.message);
    assert.equal(
      reports.map(report => report.ring),
      vm.vcpus.map(() => cpl),
    );
    const lines = vm.vcpus.map((_, index) => `vCPU ${index} runs in ring ${cpl}`);
    assert.equal(run.printed().trimEnd().split('\n').sort(), lines);
  });
}

test.run();
