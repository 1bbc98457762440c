// CPUID leaves that differ per vCPU: the APIC id and the topology.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeCpuid } from '../../shared/vcpu-codec.ts';
import type { CpuidEntry } from '../../shared/vcpu-state.ts';
import { cpuidFor } from '../../src/main/vm/cpuid.ts';

const test = suite('CPUID');
const ONES = 0xffff_ffff;
const leaf = (number: number, index = 0): CpuidEntry => ({
  function: number,
  index,
  flags: 0,
  eax: ONES,
  ebx: ONES,
  ecx: ONES,
  edx: ONES,
});
const of = (entries: CpuidEntry[], vcpu: number, vcpus: number, deadlineTimer = false): CpuidEntry[] =>
  decodeCpuid(cpuidFor(entries, vcpu, { vcpus, deadlineTimer }));
const zero = (number: number, index = 0): CpuidEntry => ({ ...leaf(number, index), eax: 0, ebx: 0, ecx: 0, edx: 0 });

test('leaf 1: APIC id and number of processors, the rest as KVM says', () => {
  const [features] = of([leaf(1)], 3, 4);

  assert.equal(features, { ...leaf(1), ebx: 0x0304_ffff });
});

test('leaf 1: the deadline timer where KVM has the LAPIC, hypervisor leaves where there are some, HTT for more than one', () => {
  assert.is(of([zero(1)], 0, 1)[0]?.ecx, 0);
  assert.is(of([zero(1)], 0, 1, true)[0]?.ecx, 0x0100_0000);
  assert.is(of([zero(1), zero(0x4000_0000)], 0, 1)[0]?.ecx, 0x8000_0000);
  assert.is(of([zero(1)], 0, 2)[0]?.edx, 0x1000_0000);
  assert.is(of([leaf(1)], 0, 1)[0]?.edx, 0xefff_ffff);
});

test('leaf 4: a core has the first levels alone, all share the third; what is no cache passes', () => {
  const cache = (level: number) => ({ ...zero(4), eax: (level << 5) | 1 });
  const [first, third, end] = of([cache(1), cache(3), zero(4)], 0, 5);

  assert.is(first?.eax, (7 * 2 ** 26 + (1 << 5)) | 1);
  assert.is(third?.eax, 7 * 2 ** 26 + (7 << 14) + (3 << 5) + 1);
  assert.equal(end, zero(4));
});

test('leaf 0xb: one thread a core, all cores in one package; made although KVM lists the first sub-leaf alone', () => {
  const [thread, core, end, ...more] = of([zero(0xb, 0)], 2, 5);

  assert.equal(thread, { ...leaf(0xb, 0), flags: 1, eax: 0, ebx: 1, ecx: 0x100, edx: 2 });
  assert.equal(core, { ...leaf(0xb, 1), flags: 1, eax: 3, ebx: 5, ecx: 0x201, edx: 2 });
  assert.equal(end, { ...leaf(0xb, 2), flags: 1, eax: 0, ebx: 0, ecx: 2, edx: 2 });
  assert.equal(more, []);
});

test('leaf 0xb is made where the highest leaf reaches it, and 0x1f only where KVM has it', () => {
  const leaves = (entries: CpuidEntry[]) => of(entries, 0, 2).map(entry => entry.function);

  assert.equal(leaves([{ ...zero(0), eax: 0xd }]), [0, 0xb, 0xb, 0xb]);
  assert.equal(leaves([{ ...zero(0), eax: 7 }]), [0]);
  assert.equal(leaves([{ ...zero(0), eax: 0x1f }, zero(0x1f)]), [0, 0xb, 0xb, 0xb, 0x1f, 0x1f, 0x1f]);
});

test('AMD: sizes, caches and topology of one package', () => {
  const [sizes, cache, topology] = of(
    [zero(0x8000_0008), { ...zero(0x8000_001d), eax: 0x63 }, leaf(0x8000_001e)],
    3,
    6,
  );

  assert.is(sizes?.ecx, 0x3005);
  assert.is(cache?.eax, (7 << 14) + 0x63);
  assert.equal(topology, { ...leaf(0x8000_001e), eax: 3, ebx: 3, ecx: 0 });
});

test('32 vCPUs: each has its own id in 5 bits, and sees 32 cores', () => {
  for (let vcpu = 0; vcpu < 32; vcpu++) {
    const [features, sizes, , core] = of([zero(1), zero(0x8000_0008), zero(0xb)], vcpu, 32);
    assert.is(features?.ebx, ((vcpu << 24) | (32 << 16)) >>> 0);
    assert.is(sizes?.ecx, 0x501f);
    assert.equal([core?.eax, core?.ebx, core?.edx], [5, 32, vcpu]);
  }
});

test('other leaves pass unchanged', () => {
  assert.equal(of([leaf(7), leaf(0x4000_0000)], 1, 2), [leaf(7), leaf(0x4000_0000)]);
});

test.run();
