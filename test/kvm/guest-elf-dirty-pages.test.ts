// Pages that the ELF guest writes, against the list that its seed gives: exactly those are found dirty.

import { existsSync, readFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { dirtySequence } from '../../examples/guest/guest.ts';
import { finish, loadCounter } from '../counter-guest.ts';
import { hasKvm, kvmSuite, suiteUnless } from '../harness.ts';

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

/** PML4, PDPT and four page directories, from CR3 on. */
const TABLES_SIZE = 6 * PAGE;

test('the processor does not write to the tables that it walks', async () => {
  const run = await loadCounter({ vcpus: 1, cpl: 3 }, ['dirty']);
  await using vm = run.vm;
  const cr3 = Number((await vm.vcpus[0]?.getSregs())?.cr3);
  const before = vm.memory.view(cr3, TABLES_SIZE).slice();
  await finish(run);
  assert.ok(before.some(byte => byte !== 0));
  assert.equal(vm.memory.view(cr3, TABLES_SIZE).slice(), before);
});

/** With nested paging, the processor's walk of a guest's table counts as a write to it, and KVM reports what it walks. */
const nestedPaging = ['kvm_amd/parameters/npt', 'kvm_intel/parameters/ept']
  .map(name => `/sys/module/${name}`)
  .some(file => existsSync(file) && /^[Y1]/.test(readFileSync(file, 'utf8')));
const reason = "nested paging: KVM counts the processor's walk of a guest's table as a write";
const log = hasKvm
  ? suiteUnless(nestedPaging ? reason : undefined, 'tables in the log')
  : kvmSuite('tables in the log');

log('tables that the processor walks stay clean', async () => {
  const run = await loadCounter({ vcpus: 1, cpl: 3 }, ['dirty']);
  await using vm = run.vm;
  const cr3 = Number((await vm.vcpus[0]?.getSregs())?.cr3);
  vm.memory.getDirtyPages();
  await finish(run);
  const dirty = vm.memory
    .getDirtyPages()
    .filter(page => page.guestAddr + page.size > cr3 && page.guestAddr < cr3 + TABLES_SIZE);
  assert.equal(dirty, []);
});

test.run();
log.run();
