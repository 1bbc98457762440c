// Names of CPUID's feature bits: those of the x86-64 levels, those that kernels use, and further extensions that a template hides or a user may
// name. Main thread; pure. The names are /proc/cpuinfo's. Sources: Intel SDM volume 2 (CPUID), AMD APM volume 3, appendix E; for the levels
// the x86-64 psABI, 3.1.1 (micro-architecture levels); for what needs what, Intel SDM volume 1, 13.1 to 13.5 and 14.

import type { CpuidEntry } from '../../../shared/vcpu-state.ts';

export type CpuidRegister = 'eax' | 'ebx' | 'ecx' | 'edx';

/** A register whose bits are features. */
export interface FeatureWord {
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: CpuidRegister;
  /** Bit numbers by name. */
  readonly bits: Readonly<Record<string, number>>;
  /** Bits that repeat another word's: no template looks at them. */
  readonly copies?: number;
}

const word = (
  leaf: number,
  subleaf: number,
  register: CpuidRegister,
  bits: FeatureWord['bits'],
  copies = 0,
): FeatureWord => ({
  leaf,
  subleaf,
  register,
  bits,
  copies,
});

/** Every bit of these registers is a feature, also one without a name here. */
export const FEATURE_WORDS: readonly FeatureWord[] = [
  // biome-ignore format: a table
  word(1, 0, 'edx', {
    fpu: 0, vme: 1, de: 2, pse: 3, tsc: 4, msr: 5, pae: 6, mce: 7, cx8: 8, apic: 9, sep: 11, mtrr: 12, pge: 13, mca: 14, cmov: 15, pat: 16,
    pse36: 17, clflush: 19, mmx: 23, fxsr: 24, sse: 25, sse2: 26, ss: 27, ht: 28,
  }),
  // biome-ignore format: a table
  word(1, 0, 'ecx', {
    sse3: 0, pclmulqdq: 1, ssse3: 9, fma: 12, cx16: 13, pcid: 17, sse4_1: 19, sse4_2: 20, x2apic: 21, movbe: 22, popcnt: 23,
    tsc_deadline_timer: 24, aes: 25, xsave: 26, avx: 28, f16c: 29, rdrand: 30, hypervisor: 31,
  }),
  // biome-ignore format: a table
  word(7, 0, 'ebx', {
    fsgsbase: 0, tsc_adjust: 1, bmi1: 3, hle: 4, avx2: 5, smep: 7, bmi2: 8, erms: 9, invpcid: 10, rtm: 11, mpx: 14, avx512f: 16, avx512dq: 17,
    rdseed: 18, adx: 19, smap: 20, avx512ifma: 21, clflushopt: 23, clwb: 24, avx512cd: 28, sha_ni: 29, avx512bw: 30, avx512vl: 31,
  }),
  // biome-ignore format: a table
  word(7, 0, 'ecx', {
    avx512vbmi: 1, umip: 2, pku: 3, avx512_vbmi2: 6, gfni: 8, vaes: 9, vpclmulqdq: 10, avx512_vnni: 11, avx512_bitalg: 12,
    avx512_vpopcntdq: 14, la57: 16, rdpid: 22,
  }),
  // biome-ignore format: a table
  word(7, 0, 'edx', {
    avx512_4vnniw: 2, avx512_4fmaps: 3, fsrm: 4, avx512_vp2intersect: 8, srbds_ctrl: 9, md_clear: 10, amx_bf16: 22, avx512_fp16: 23,
    amx_tile: 24, amx_int8: 25, spec_ctrl: 26, stibp: 27, flush_l1d: 28, arch_capabilities: 29, ssbd: 31,
  }),
  word(7, 1, 'eax', { avx_vnni: 4, avx512_bf16: 5 }),
  word(7, 1, 'edx', {}),
  word(7, 2, 'edx', { psfd: 0, ipred_ctrl: 1, rrsba_ctrl: 2, bhi_ctrl: 4, mcdt_no: 5 }),
  word(0xd, 1, 'eax', { xsaveopt: 0, xsavec: 1, xgetbv1: 2, xsaves: 3 }),
  word(0x8000_0001, 0, 'edx', { syscall: 11, nx: 20, pdpe1gb: 26, rdtscp: 27, lm: 29 }, 0x0183_f3ff),
  // biome-ignore format: a table
  word(0x8000_0001, 0, 'ecx', {
    lahf_lm: 0, cmp_legacy: 1, cr8_legacy: 4, lzcnt: 5, sse4a: 6, misalignsse: 7, '3dnowprefetch': 8, xop: 11, fma4: 16, topoext: 22,
  }),
  word(0x8000_0007, 0, 'edx', { nonstop_tsc: 8 }),
  // biome-ignore format: a table
  word(0x8000_0008, 0, 'ebx', {
    amd_ibpb: 12, amd_ibrs: 14, amd_stibp: 15, ibrs_always_on: 16, stibp_always_on: 17, ibrs_preferred: 18, ibrs_same_mode: 19, amd_ssbd: 24,
    virt_ssbd: 25, amd_ssb_no: 26, amd_psfd: 28,
  }),
  // biome-ignore format: a table
  word(0x8000_0021, 0, 'eax', { lfence_rdtsc: 2, null_sel_clr_base: 6, autoibrs: 8, sbpb: 27, ibpb_brtype: 28, srso_no: 29 }),
];

/** What each level adds to the one before it. OSXSAVE of level 3 is the guest's own doing: `xsave` here. */
export const LEVELS: readonly (readonly string[])[] = [
  ['cmov', 'cx8', 'fpu', 'fxsr', 'mmx', 'syscall', 'sse', 'sse2'],
  ['cx16', 'lahf_lm', 'popcnt', 'sse3', 'sse4_1', 'sse4_2', 'ssse3'],
  ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'lzcnt', 'movbe', 'xsave'],
  ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'],
];

/** What kernels use and no program is compiled for: as the host has it, at every level. Paging, timers, interrupts; guards against speculation. */
// biome-ignore format: a table
export const PLATFORM: ReadonlySet<string> = new Set([
  'vme', 'de', 'pse', 'tsc', 'msr', 'pae', 'mce', 'apic', 'sep', 'mtrr', 'pge', 'mca', 'pat', 'pse36', 'clflush', 'ss', 'ht',
  'pcid', 'x2apic', 'tsc_deadline_timer', 'hypervisor', 'fsgsbase', 'tsc_adjust', 'smep', 'erms', 'invpcid', 'smap', 'umip',
  'srbds_ctrl', 'md_clear', 'spec_ctrl', 'stibp', 'flush_l1d', 'arch_capabilities', 'ssbd', 'psfd', 'ipred_ctrl', 'rrsba_ctrl', 'bhi_ctrl', 'mcdt_no',
  'nx', 'pdpe1gb', 'rdtscp', 'lm', 'cmp_legacy', 'cr8_legacy', 'topoext', 'nonstop_tsc',
  'amd_ibpb', 'amd_ibrs', 'amd_stibp', 'ibrs_always_on', 'stibp_always_on', 'ibrs_preferred', 'ibrs_same_mode', 'amd_ssbd', 'virt_ssbd', 'amd_ssb_no', 'amd_psfd',
  'lfence_rdtsc', 'null_sel_clr_base', 'autoibrs', 'sbpb', 'ibpb_brtype', 'srso_no',
]);

/** Leaves that describe what no level has, and no bit of PLATFORM turns on: counters, SGX, tracing, AMX, AVX10, SVM, SEV. */
export const EXTRA_LEAVES: ReadonlySet<number> = new Set([
  0xa, 0x12, 0x14, 0x19, 0x1d, 0x1e, 0x24, 0x8000_000a, 0x8000_001b, 0x8000_001c, 0x8000_001f, 0x8000_0022,
]);

/** What a feature cannot be without. */
export const NEEDS: ReadonlyMap<string, string> = new Map([
  ...['avx', 'pku', 'mpx', 'amx_tile', 'xsaveopt', 'xsavec', 'xgetbv1', 'xsaves'].map(name => [name, 'xsave'] as const),
  ...['f16c', 'fma', 'avx2', 'vaes', 'vpclmulqdq', 'xop', 'fma4'].map(name => [name, 'avx'] as const),
  ...['avx512f', 'avx_vnni'].map(name => [name, 'avx2'] as const),
  ...['amx_bf16', 'amx_int8'].map(name => [name, 'amx_tile'] as const),
  ...FEATURE_WORDS.flatMap(({ bits }) => Object.keys(bits))
    .filter(name => name.startsWith('avx512') && name !== 'avx512f')
    .map(name => [name, 'avx512f'] as const),
]);

/** XCR0's bits that a feature brings: its registers are saved by XSAVE. */
export const XCR0_BITS: readonly (readonly [feature: string, bits: number])[] = [
  ['xsave', 0x3],
  ['avx', 0x4],
  ['mpx', 0x18],
  ['avx512f', 0xe0],
  ['pku', 0x200],
  ['amx_tile', 0x6_0000],
];

const PLACES = new Map(
  FEATURE_WORDS.flatMap(word => Object.entries(word.bits).map(([name, bit]) => [name, { word, bit }] as const)),
);

/** Where a feature's bit is. */
export function placeOf(name: string): { readonly word: FeatureWord; readonly bit: number } {
  const place = PLACES.get(name);
  if (place === undefined) throw new RangeError(`no feature ${name}`);
  return place;
}

export function hasFeature(entries: readonly CpuidEntry[], name: string): boolean {
  const { word, bit } = placeOf(name);
  const entry = entries.find(({ function: leaf, index }) => leaf === word.leaf && index === word.subleaf);
  return entry !== undefined && ((entry[word.register] >>> bit) & 1) === 1;
}

/** A bit's name, or where it is. */
export function featureName(word: FeatureWord, bit: number): string {
  const name = Object.entries(word.bits).find(([, number]) => number === bit)?.[0];
  return name ?? `CPUID 0x${word.leaf.toString(16)}.${word.subleaf} ${word.register} bit ${bit}`;
}
