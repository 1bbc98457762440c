// CPU templates: what they hide, what they need, and that XSAVE's leaf follows.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CpuidEntry } from '../../shared/vcpu-state.ts';
import { FEATURE_WORDS, hasFeature, LEVELS, PLATFORM, placeOf } from '../../src/main/vm/cpu-features.ts';
import { applyCpuTemplate, type CpuTemplate, checkCpuTemplate } from '../../src/main/vm/cpu-template.ts';

const test = suite('cpuTemplate');
const ONES = 0xffff_ffff;
const entry = (leaf: number, index: number, [eax, ebx, ecx, edx]: readonly number[]): CpuidEntry => ({
  function: leaf,
  index,
  flags: 0,
  eax: eax ?? 0,
  ebx: ebx ?? 0,
  ecx: ecx ?? 0,
  edx: edx ?? 0,
});
const all = [ONES, ONES, ONES, ONES];

/** A host that has everything: size, offset and whose they are of XSAVE's components as processors have them. */
const everything: readonly CpuidEntry[] = [
  entry(0, 0, [0x24, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
  entry(1, 0, [0x000c_06f2, 0, ONES, ONES]),
  ...[0, 1, 2].map(index => entry(7, index, all)),
  entry(0xa, 0, all),
  entry(0xd, 0, [0x6_02ff, 11008, 11008, 0]),
  entry(0xd, 1, [0x1f, 11100, 0x1800, 0]),
  ...(
    [
      [2, 256, 576, 0],
      [3, 64, 960, 0],
      [4, 64, 1024, 0],
      [5, 64, 1088, 0],
      [6, 512, 1152, 0],
      [7, 1024, 1664, 0],
      [9, 8, 2688, 0],
      [11, 16, 0, 1],
      [17, 64, 2752, 0],
      [18, 8192, 2816, 6],
    ] as const
  ).map(([index, ...words]) => entry(0xd, index, words)),
  entry(0x8000_0001, 0, all),
  entry(0x8000_0002, 0, [1, 2, 3, 4]),
  entry(0x8000_0007, 0, all),
  entry(0x8000_0008, 0, [0x3030, ONES, 0, 0]),
  entry(0x8000_0021, 0, all),
];

const apply = (template: CpuTemplate, host = everything) => applyCpuTemplate(host, checkCpuTemplate(template));
const leaf = (entries: readonly CpuidEntry[], number: number, index = 0) =>
  entries.find(each => each.function === number && each.index === index);
const without = (...features: string[]) =>
  features.reduce((entries, name) => {
    const { word, bit } = placeOf(name);
    return entries.map(each =>
      each.function === word.leaf && each.index === word.subleaf
        ? { ...each, [word.register]: (each[word.register] & ~(1 << bit)) >>> 0 }
        : each,
    );
  }, everything);

function failure(action: () => unknown): { code?: string; message?: string; info?: { features?: string[] } } {
  try {
    action();
  } catch (error) {
    return error as object;
  }
  throw new Error('it did not fail');
}

const named = FEATURE_WORDS.flatMap(({ bits }) => Object.keys(bits));
const level = (version: number) => `x86-64-v${version}` as 'x86-64-v1';

test("'host' is KVM's list itself", () => {
  assert.is(apply('host'), everything);
  assert.is(apply([]), everything);
});

test('a level has its own features and those below, the platform, and nothing else', () => {
  for (const version of [1, 2, 3, 4]) {
    const seen = new Set([...LEVELS.slice(0, version).flat(), ...PLATFORM]);
    const entries = apply(level(version));
    for (const name of named) assert.is(hasFeature(entries, name), seen.has(name), `${level(version)}: ${name}`);
    assert.is(leaf(entries, 7, 1)?.eax, 0, 'features without a name are hidden as well');
    assert.is(leaf(entries, 0xa), undefined);
  }
});

test('vendor, model, name and address sizes stay', () => {
  const entries = apply('x86-64-v2');
  assert.equal(leaf(entries, 0), leaf(everything, 0));
  assert.is(leaf(entries, 1)?.eax, 0x000c_06f2);
  assert.equal(leaf(entries, 0x8000_0002), leaf(everything, 0x8000_0002));
  assert.is(leaf(entries, 0x8000_0008)?.eax, 0x3030);
});

test('guests of a level look alike on a host that has no more than it', () => {
  const extensions = named.filter(name => !PLATFORM.has(name) && !LEVELS.slice(0, 2).flat().includes(name));
  assert.equal(apply('x86-64-v2', without(...extensions)), apply('x86-64-v2'));
});

test('what the host lacks is named', () => {
  const { code, info, message = '' } = failure(() => apply('x86-64-v3', without('movbe', 'avx2', 'sha_ni')));
  assert.is(code, 'ERR_CPU_FEATURE');
  assert.equal(info?.features, ['avx2', 'movbe']);
  assert.match(message, /'x86-64-v3' needs avx2, movbe/);
  apply('x86-64-v2', without('movbe', 'avx2'));
});

test('XSAVE: no leaf without it; otherwise XCR0 and sizes are those of the components that are left', () => {
  const sizes = (template: CpuTemplate) => {
    const { eax, ecx } = leaf(apply(template), 0xd) ?? {};
    const parts = apply(template).filter(each => each.function === 0xd && each.index > 1);
    return [eax, ecx, parts.map(({ index }) => index)];
  };
  assert.equal(sizes('x86-64-v2'), [undefined, undefined, []]);
  assert.equal(sizes('x86-64-v3'), [0x7, 832, [2]]);
  assert.equal(sizes('x86-64-v4'), [0xe7, 2688, [2, 5, 6, 7]]);
  assert.equal(leaf(apply('x86-64-v3'), 0xd, 1), entry(0xd, 1, [0, 0, 0, 0]));
  // As the host has it, without AMX: XSAVES' components stay.
  assert.equal(sizes([{ leaf: 7, edx: { clear: 1 << 24 } }]), [0x2ff, 2696, [2, 3, 4, 5, 6, 7, 9, 11]]);
  assert.is(leaf(apply([{ leaf: 7, edx: { clear: 1 << 24 } }]), 0xd, 1)?.ecx, 0x1800);
});

test('masks add to a level and take from it, in order', () => {
  const aes = { leaf: 1, ecx: { set: 1 << 25 } };
  assert.ok(hasFeature(apply(['x86-64-v2', aes]), 'aes'));
  assert.not(hasFeature(apply([aes, 'x86-64-v2']), 'aes'));
  assert.not(hasFeature(apply(['x86-64-v2', aes, { leaf: 1, ecx: { clear: 1 << 25 } }]), 'aes'));
  const entries = apply([
    'host',
    { leaf: 1, eax: { clear: ONES, set: 0x0008_06f8 } },
    { leaf: 7, subleaf: 1, eax: { clear: ONES } },
  ]);
  assert.is(leaf(entries, 1)?.eax, 0x0008_06f8);
  assert.is(leaf(entries, 7, 1)?.eax, 0);
  assert.is(leaf(entries, 1)?.ecx, ONES);
  assert.equal(leaf(everything, 1)?.eax, 0x000c_06f2, "KVM's list is as it was");
});

test('what is hidden takes along what needs it', () => {
  const entries = apply([{ leaf: 1, ecx: { clear: 1 << 26 } }]);
  for (const name of [
    'xsave',
    'avx',
    'avx2',
    'fma',
    'avx512f',
    'avx512_vnni',
    'vaes',
    'pku',
    'amx_tile',
    'amx_int8',
    'xsaves',
  ])
    assert.not(hasFeature(entries, name), name);
  for (const name of ['bmi2', 'aes', 'sse4_2']) assert.ok(hasFeature(entries, name), name);
});

test('a mask that sets what the host lacks, or what has lost its ground', () => {
  const sha = { leaf: 7, ebx: { set: 1 << 29 } };
  assert.equal(failure(() => apply([sha], without('sha_ni'))).info?.features, ['sha_ni']);
  assert.equal(failure(() => apply([{ leaf: 7, subleaf: 3, ecx: { set: 4 } }])).info?.features, [
    'CPUID 0x7.3 ecx bit 2',
  ]);
  const ungrounded = failure(() => apply(['x86-64-v2', { leaf: 1, ecx: { set: 1 << 28 } }]));
  assert.is(ungrounded.code, 'ERR_CPU_FEATURE');
  assert.match(ungrounded.message ?? '', /avx, which needs xsave/);
  apply([{ leaf: 0x99, eax: { clear: ONES } }]);
});

test('never a feature that the host lacks, whatever the masks', () => {
  const mask = fc.record({
    leaf: fc.constantFrom(1, 7, 0xd, 0x8000_0001, 0x8000_0008),
    ecx: fc.record({ clear: fc.nat(), set: fc.nat() }),
    edx: fc.record({ clear: fc.nat(), set: fc.nat() }),
  });
  const hosts = fc.uniqueArray(fc.constantFrom(...named)).map(names => without(...names));
  fc.assert(
    fc.property(
      hosts,
      fc.array(fc.oneof(mask, fc.constantFrom('x86-64-v1' as const, 'x86-64-v2' as const))),
      (host, steps) => {
        let entries: readonly CpuidEntry[];
        try {
          entries = apply(steps, host);
        } catch (error) {
          assert.is((error as { code?: string }).code, 'ERR_CPU_FEATURE');
          return;
        }
        for (const name of named) assert.ok(!hasFeature(entries, name) || hasFeature(host, name), name);
      },
    ),
    { numRuns: 300 },
  );
});

test('wrong options', () => {
  const code = (template: unknown) => failure(() => checkCpuTemplate(template as CpuTemplate)).code;
  assert.is(code('x86-64-v5'), 'ERR_OUT_OF_RANGE');
  assert.is(code(3), 'ERR_INVALID_ARG_TYPE');
  assert.is(code([null]), 'ERR_INVALID_ARG_TYPE');
  assert.is(code([{ leaf: 'x' }]), 'ERR_INVALID_ARG_TYPE');
  assert.is(code([{ leaf: 1, esi: {} }]), 'ERR_UNKNOWN_OPTION');
  assert.is(code([{ leaf: 1, ecx: { mask: 1 } }]), 'ERR_UNKNOWN_OPTION');
  assert.is(code([{ leaf: 1, ecx: { set: 2 ** 32 } }]), 'ERR_OUT_OF_RANGE');
  assert.is(code([{ leaf: 1.5 }]), 'ERR_OUT_OF_RANGE');
  assert.is(code([{ leaf: 0xb }]), 'ERR_OUT_OF_RANGE');
  assert.equal(checkCpuTemplate([{ leaf: 1, ecx: { set: 1 << 31 } }]), [
    { leaf: 1, subleaf: 0, ecx: { clear: 0, set: 0x8000_0000 } },
  ]);
});

test.run();
