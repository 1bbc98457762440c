// What tests of dirty sources share: the dirty pages of a memory, and the suites that need a source. Uses the public API only.

import { type KvmMemory, probeDirtySources } from 'node-kvm';
import { hasKvm, kvmSuite, type Suite, suiteUnless } from './harness.ts';

export const PAGE = 4096;

/** What tracking has found since the last call: [page, pages] per range, ascending. */
export function dirtyRanges(memory: KvmMemory): [number, number][] {
  return memory.getDirtyPages().map(({ guestAddr, size }) => [guestAddr / PAGE, size / PAGE]);
}

/** The same as single page numbers. */
export function dirtyPages(memory: KvmMemory): number[] {
  return dirtyRanges(memory).flatMap(([page, pages]) => Array.from({ length: pages }, (_, index) => page + index));
}

type SourceName = keyof ReturnType<typeof probeDirtySources>;

/** A suite with guests that runs where there is KVM and the source works, and is skipped with the probe's reason elsewhere; REQUIRE_SOURCES names those that must work. */
export function sourceSuite(source: SourceName, name: string): Suite {
  const { available, reason } = probeDirtySources()[source];
  if (!available && process.env['REQUIRE_SOURCES']?.split(',').includes(source) === true)
    throw new Error(`REQUIRE_SOURCES has ${source}, but: ${reason}`);
  // Without KVM its reason, whatever the source.
  return hasKvm ? suiteUnless(available ? undefined : reason, name) : kvmSuite(name);
}
