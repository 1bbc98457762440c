// Pages that the ELF guest writes, against the list that its seed gives: exactly those are found dirty.

import * as assert from 'uvu/assert';
import { dirtySequence } from '../../examples/guest/guest.ts';
import { finish, loadCounter } from '../counter-guest.ts';
import { kvmSuite } from '../harness.ts';

const test = kvmSuite('guest elf dirty pages');
const PAGE = 4096;

for (const { vcpus, cpl, seed } of [
  { vcpus: 1, cpl: 0, seed: 11 },
  { vcpus: 2, cpl: 3, seed: 12 },
  { vcpus: 4, cpl: 3, seed: 13 },
] as const) {
  test(`${vcpus} vCPUs in ring ${cpl}: the dirty pages of the area are the ones written`, async () => {
    const run = await loadCounter({ vcpus, cpl }, ['dirty'], { seed });
    await using vm = run.vm;
    vm.memory.getDirtyPages();
    const { result } = await finish(run);
    assert.is(result.reason, 'power-off', result.error?.message);
    const { area, areaPages } = run.params;
    const written = new Set(
      vm.vcpus.flatMap((_, index) => dirtySequence(run.params, index).map(page => area + page * PAGE)),
    );
    const found = vm.memory
      .getDirtyPages()
      .flatMap(({ guestAddr, size }) => Array.from({ length: size / PAGE }, (_, page) => guestAddr + page * PAGE))
      .filter(address => address >= area && address < area + areaPages * PAGE);
    assert.equal(
      found,
      [...written].sort((a, b) => a - b),
    );
  });
}

test('tables that the processor walks stay clean', async () => {
  const run = await loadCounter({ vcpus: 1, cpl: 3 }, ['dirty']);
  await using vm = run.vm;
  const cr3 = Number((await vm.vcpus[0]?.getSregs())?.cr3);
  vm.memory.getDirtyPages();
  await finish(run);
  // PML4, PDPT and four page directories.
  const dirty = vm.memory
    .getDirtyPages()
    .filter(page => page.guestAddr + page.size > cr3 && page.guestAddr < cr3 + 6 * PAGE);
  assert.equal(dirty, []);
});

test.run();
