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
const of = (entries: CpuidEntry[], vcpu: number, vcpus: number): CpuidEntry[] =>
  decodeCpuid(cpuidFor(entries, vcpu, vcpus));

test('leaf 1: APIC id and number of processors, the rest as KVM says', () => {
  const [features] = of([leaf(1)], 3, 4);

  assert.equal(features, { ...leaf(1), ebx: 0x0304_ffff });
});

test('leaf 0xb: one thread a core, all cores in one package', () => {
  const [thread, core, end] = of([leaf(0xb, 0), leaf(0xb, 1), leaf(0xb, 2)], 2, 5);

  assert.equal(thread, { ...leaf(0xb, 0), eax: 0, ebx: 1, ecx: 0x100, edx: 2 });
  assert.equal(core, { ...leaf(0xb, 1), eax: 3, ebx: 5, ecx: 0x201, edx: 2 });
  assert.equal(end, { ...leaf(0xb, 2), eax: 0, ebx: 0, ecx: 2, edx: 2 });
});

test('other leaves pass unchanged', () => {
  assert.equal(of([leaf(7), leaf(0x4000_0000)], 1, 2), [leaf(7), leaf(0x4000_0000)]);
});

test.run();
