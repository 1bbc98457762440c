// The option cpuTemplate: which of the processor's features a guest sees. Main thread; pure. It changes KVM's own list, before each vCPU's
// topology is put in (cpuid-topology.ts). Names of bits, and what the levels are: cpu-features.ts.

import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { CpuidEntry } from '../../../shared/vcpu-state.ts';
import {
  type CpuidRegister,
  EXTRA_LEAVES,
  FEATURE_WORDS,
  type FeatureWord,
  featureName,
  hasFeature,
  LEVELS,
  NEEDS,
  PLATFORM,
  placeOf,
  XCR0_BITS,
} from './cpu-features.ts';

/** 'host': all that KVM can give. The others: the psABI's levels of x86-64. */
export type CpuTemplateName = 'host' | 'x86-64-v1' | 'x86-64-v2' | 'x86-64-v3' | 'x86-64-v4';

const NAMES: readonly CpuTemplateName[] = ['host', 'x86-64-v1', 'x86-64-v2', 'x86-64-v3', 'x86-64-v4'];

/** Bits of one register, 32 bits each: first those of `clear` become 0, then those of `set` 1. */
export interface CpuidBits {
  readonly clear?: number;
  readonly set?: number;
}

/** A change of one CPUID leaf. */
export interface CpuidMask {
  /** eax at CPUID. */
  readonly leaf: number;
  /** ecx at CPUID, for leaves that look at it. Default 0. */
  readonly subleaf?: number;
  readonly eax?: CpuidBits;
  readonly ebx?: CpuidBits;
  readonly ecx?: CpuidBits;
  readonly edx?: CpuidBits;
}

/** A name, or names and masks that take effect one after the other: `['x86-64-v2', { leaf: 1, ecx: { set: 1 << 25 } }]` is v2 with AES. */
export type CpuTemplate = CpuTemplateName | readonly (CpuTemplateName | CpuidMask)[];

const REGISTERS: readonly CpuidRegister[] = ['eax', 'ebx', 'ecx', 'edx'];
/** Made for each vCPU, whatever KVM lists. */
const TOPOLOGY_LEAVES = [0xb, 0x1f, 0x8000_001e];
const LEAF_XSAVE = 0xd;
const U32 = 0xffff_ffff;
/** The legacy area and the header: what XSAVE writes at least (Intel SDM volume 1, 13.4). */
const XSAVE_MIN = 576;

/** @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE` */
export function checkCpuTemplate(template: CpuTemplate): readonly (CpuTemplateName | CpuidMask)[] {
  if (typeof template === 'string') return [checkName(template, 'cpuTemplate')];
  if (!Array.isArray(template)) throw invalidType('cpuTemplate', 'a name or an array of names and masks', template);
  return template.map((step: CpuTemplateName | CpuidMask, i) =>
    typeof step === 'string' ? checkName(step, `cpuTemplate[${i}]`) : checkMask(step, `cpuTemplate[${i}]`),
  );
}

function checkName(given: string, name: string): CpuTemplateName {
  const known = NAMES.find(each => each === given);
  if (known === undefined) throw outOfRange(name, NAMES.map(each => `'${each}'`).join(', '), given);
  return known;
}

function checkMask(mask: CpuidMask, name: string): CpuidMask {
  if (typeof mask !== 'object' || mask === null) throw invalidType(name, 'a name or a mask', mask);
  refuseUnknownKeys(mask, ['leaf', 'subleaf', ...REGISTERS], name);
  const { leaf, subleaf = 0 } = mask;
  checkU32(leaf, `${name}.leaf`);
  checkU32(subleaf, `${name}.subleaf`);
  if (TOPOLOGY_LEAVES.includes(leaf))
    throw outOfRange(`${name}.leaf`, 'no leaf of the topology, which each vCPU has its own of', leaf);
  const copy: Record<string, unknown> = { leaf, subleaf };
  for (const register of REGISTERS) {
    const bits = mask[register];
    if (bits === undefined) continue;
    const where = `${name}.${register}`;
    if (typeof bits !== 'object' || bits === null) throw invalidType(where, 'an object', bits);
    refuseUnknownKeys(bits, ['clear', 'set'], where);
    const { clear = 0, set = 0 } = bits;
    copy[register] = { clear: checkU32(clear, `${where}.clear`), set: checkU32(set, `${where}.set`) };
  }
  return copy as unknown as CpuidMask;
}

/** Bit 31 by `1 << 31` is a negative number in JavaScript: it is taken for what it means. */
function checkU32(value: number, name: string): number {
  if (typeof value !== 'number') throw invalidType(name, 'a number', value);
  if (!Number.isInteger(value) || value < -(2 ** 31) || value > U32) throw outOfRange(name, '32 bits', value);
  return value >>> 0;
}

/**
 * KVM's list as the template makes it; XSAVE's leaf says what is left to be saved.
 * @throws HypervisorError `ERR_CPU_FEATURE` (`info.features`): KVM does not have on this host what the template needs or sets, or it sets
 *   what it has taken the ground from (AVX without XSAVE)
 */
export function applyCpuTemplate(
  supported: readonly CpuidEntry[],
  steps: readonly (CpuTemplateName | CpuidMask)[],
): readonly CpuidEntry[] {
  let entries = supported.map(entry => ({ ...entry }));
  const wanted = new Set<string>();
  for (const step of steps) {
    if (typeof step !== 'string') applyMask(entries, supported, step, wanted);
    else if (step !== 'host') entries = atLevel(entries, supported, step);
  }
  if (steps.every(step => step === 'host')) return supported;
  dropUngrounded(entries, wanted);
  return withXsave(entries);
}

function atLevel(
  entries: readonly CpuidEntry[],
  supported: readonly CpuidEntry[],
  name: CpuTemplateName,
): CpuidEntry[] {
  const needed = LEVELS.slice(0, NAMES.indexOf(name)).flat();
  const missing = needed.filter(feature => !hasFeature(supported, feature));
  if (missing.length > 0) throw lacking(missing, `cpuTemplate '${name}' needs`);
  const seen = new Set([...needed, ...PLATFORM]);
  return entries
    .filter(({ function: leaf }) => !EXTRA_LEAVES.has(leaf))
    .map(entry => {
      const kept = { ...entry };
      for (const word of FEATURE_WORDS) {
        if (!isOf(word, entry)) continue;
        let bits = word.copies ?? 0;
        for (const [feature, bit] of Object.entries(word.bits)) if (seen.has(feature)) bits |= 1 << bit;
        kept[word.register] = (entry[word.register] & bits) >>> 0;
      }
      return kept;
    });
}

function applyMask(
  entries: CpuidEntry[],
  supported: readonly CpuidEntry[],
  mask: CpuidMask,
  wanted: Set<string>,
): void {
  const { leaf, subleaf = 0 } = mask;
  const at = (list: readonly CpuidEntry[]) =>
    list.find(({ function: number, index }) => number === leaf && index === subleaf);
  const entry = at(entries);
  for (const register of REGISTERS) {
    const { clear = 0, set = 0 } = mask[register] ?? {};
    const word = FEATURE_WORDS.find(
      each => each.leaf === leaf && each.subleaf === subleaf && each.register === register,
    );
    const has = at(supported)?.[register] ?? 0;
    const absent = word === undefined ? (entry === undefined ? set : 0) : set & ~has;
    if (absent !== 0) throw lacking(names(word ?? { leaf, subleaf, register, bits: {} }, absent), 'cpuTemplate sets');
    if (entry === undefined) continue;
    entry[register] = ((entry[register] & ~clear) | set) >>> 0;
    if (word === undefined) continue;
    for (const name of names(word, clear)) wanted.delete(name);
    for (const name of names(word, set)) wanted.add(name);
  }
}

const isOf = (word: FeatureWord, entry: CpuidEntry) => word.leaf === entry.function && word.subleaf === entry.index;

function names(word: FeatureWord, bits: number): string[] {
  return Array.from({ length: 32 }, (_, bit) => bit)
    .filter(bit => ((bits >>> bit) & 1) === 1)
    .map(bit => featureName(word, bit));
}

/** Hides what is nothing without something that is hidden. */
function dropUngrounded(entries: CpuidEntry[], wanted: ReadonlySet<string>): void {
  for (let again = true; again; ) {
    again = false;
    for (const [feature, ground] of NEEDS) {
      if (!hasFeature(entries, feature) || hasFeature(entries, ground)) continue;
      if (wanted.has(feature))
        throw new HypervisorError(
          'ERR_CPU_FEATURE',
          `cpuTemplate sets ${feature}, which needs ${ground}, and hides that`,
          {
            info: { features: [ground] },
          },
        );
      const { word, bit } = placeOf(feature);
      for (const entry of entries)
        if (isOf(word, entry)) entry[word.register] = (entry[word.register] & ~(1 << bit)) >>> 0;
      again = true;
    }
  }
}

/** Leaf 0xd: XCR0's bits and the sizes of what XSAVE saves follow the features (Intel SDM volume 1, 13.2). */
function withXsave(entries: readonly CpuidEntry[]): readonly CpuidEntry[] {
  const others = entries.filter(({ function: leaf }) => leaf !== LEAF_XSAVE);
  if (!hasFeature(entries, 'xsave')) return others;
  const allowed = XCR0_BITS.reduce((bits, [feature, own]) => (hasFeature(entries, feature) ? bits | own : bits), 0);
  const leaves = entries.filter(({ function: leaf }) => leaf === LEAF_XSAVE);
  const xcr0 = ((leaves.find(({ index }) => index === 0)?.eax ?? 0) & allowed) >>> 0;
  const hasXsaves = hasFeature(entries, 'xsaves');
  const xss = hasXsaves ? (leaves.find(({ index }) => index === 1)?.ecx ?? 0) : 0;
  const saved = leaves.filter(({ index }) => index >= 2 && index < 32 && (((xcr0 | xss) >>> index) & 1) === 1);
  // eax: bytes of a component, ebx: where it begins; those of XSS are in the compacted form alone.
  const size = saved
    .filter(({ index }) => ((xcr0 >>> index) & 1) === 1)
    .reduce((most, { eax, ebx }) => Math.max(most, eax + ebx), XSAVE_MIN);
  // ebx is the size for the bits that the guest has turned on: KVM keeps it up to date.
  const first = leaves
    .filter(({ index }) => index < 2)
    .map(entry =>
      entry.index === 0
        ? { ...entry, eax: xcr0, ebx: XSAVE_MIN, ecx: size, edx: 0 }
        : { ...entry, ebx: hasXsaves ? entry.ebx : 0, ecx: xss, edx: 0 },
    );
  return [...others, ...first, ...saved];
}

function lacking(features: readonly string[], what: string): HypervisorError {
  return new HypervisorError(
    'ERR_CPU_FEATURE',
    `${what} ${features.join(', ')}, which KVM does not have on this host`,
    {
      info: { features },
    },
  );
}
