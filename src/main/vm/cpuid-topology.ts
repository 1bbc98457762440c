// CPUID leaves that say how processors are arranged: one package, one thread a core, the APIC id is the vCPU's index. Main thread;
// pure. Sources: Intel SDM volume 2 (CPUID), volume 3, 10.9 (topology); AMD APM volume 3, appendix E.

import type { CpuidEntry } from '../../../shared/vcpu-state.ts';

/** KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the leaf has sub-leaves, and ecx chooses. */
const INDEXED = 1;

const LEAF_MAX = 0;
const LEAF_FEATURES = 1;
const LEAF_CACHES = 4;
const LEAF_TOPOLOGY = 0xb;
const LEAF_TOPOLOGY_V2 = 0x1f;
const LEAF_AMD_SIZES = 0x8000_0008;
const LEAF_AMD_CACHES = 0x8000_001d;
const LEAF_AMD_TOPOLOGY = 0x8000_001e;

const LEVEL_SMT = 1;
const LEVEL_CORE = 2;
/** Leaf 1, edx: the package has more than one logical processor. */
const HTT = 1 << 28;

/**
 * `entries` with the topology of `vcpus` processors, as processor `apicId` sees it. KVM's own list has at most the first sub-leaf of
 * each topology leaf: these leaves are made anew, wherever the highest basic leaf lets a guest ask for them.
 */
export function withTopology(entries: readonly CpuidEntry[], apicId: number, vcpus: number): CpuidEntry[] {
  const max = entries.find(entry => entry.function === LEAF_MAX)?.eax ?? 0;
  const known = new Set(entries.map(entry => entry.function));
  // The newer leaf only where the host has it: it says nothing more here.
  const made = [
    ...(max >= LEAF_TOPOLOGY || known.has(LEAF_TOPOLOGY) ? levels(LEAF_TOPOLOGY, apicId, vcpus) : []),
    ...(known.has(LEAF_TOPOLOGY_V2) ? levels(LEAF_TOPOLOGY_V2, apicId, vcpus) : []),
  ];
  const others = entries.filter(({ function: leaf }) => leaf !== LEAF_TOPOLOGY && leaf !== LEAF_TOPOLOGY_V2);
  return [...others.map(entry => patch(entry, apicId, vcpus)), ...made];
}

/** The sub-leaves of a topology leaf: threads of a core, cores of the package, the end. */
function levels(leaf: number, apicId: number, vcpus: number): CpuidEntry[] {
  // eax: how far to shift the APIC id to get the next level's. ecx: bits 15–8 the level's type, 7–0 the sub-leaf.
  const level = (index: number, type: number, shift: number, processors: number): CpuidEntry => ({
    function: leaf,
    index,
    flags: INDEXED,
    eax: shift,
    ebx: processors,
    ecx: (type << 8) | index,
    edx: apicId,
  });
  return [level(0, LEVEL_SMT, 0, 1), level(1, LEVEL_CORE, idBits(vcpus), vcpus), level(2, 0, 0, 0)];
}

const idBits = (vcpus: number) => Math.ceil(Math.log2(vcpus));

function patch(entry: CpuidEntry, apicId: number, vcpus: number): CpuidEntry {
  const { eax, ebx, ecx, edx } = entry;
  const ids = 2 ** idBits(vcpus);
  switch (entry.function) {
    case LEAF_FEATURES:
      // ebx: bits 31–24 initial APIC id, 23–16 logical processors of the package (8 bits each).
      return {
        ...entry,
        ebx: ((ebx & 0xffff) | ((Math.min(vcpus, 255) & 0xff) << 16) | ((apicId & 0xff) << 24)) >>> 0,
        edx: (vcpus > 1 ? edx | HTT : edx & ~HTT) >>> 0,
      };
    case LEAF_CACHES:
      // No cache: nothing that is shared. eax: bits 31–26 APIC ids for cores of the package - 1 (6 bits).
      if ((eax & 0x1f) === 0) return entry;
      return { ...entry, eax: ((sharing(eax, ids) & 0x03ff_ffff) | (Math.min(ids - 1, 63) << 26)) >>> 0 };
    case LEAF_AMD_CACHES:
      if ((eax & 0x1f) === 0) return entry;
      return { ...entry, eax: sharing(eax, ids) >>> 0 };
    case LEAF_AMD_SIZES:
      // ecx: bits 15–12 bits of the APIC id that name the core, 7–0 cores - 1.
      return { ...entry, ecx: ((ecx & ~0xf0ff) | (idBits(vcpus) << 12) | (Math.min(vcpus - 1, 255) & 0xff)) >>> 0 };
    case LEAF_AMD_TOPOLOGY:
      // ebx: bits 15–8 threads of the core - 1, 7–0 the core. ecx: bits 10–8 nodes of the package - 1, 7–0 the node.
      return { ...entry, eax: apicId, ebx: apicId & 0xff, ecx: 0 };
    default:
      return entry;
  }
}

/** eax of a cache leaf with its bits 25–14, processors that share the cache - 1: a core has its first two levels alone, all share the third. */
function sharing(eax: number, ids: number): number {
  const level = (eax >> 5) & 0x7;
  const shared = level >= 3 ? Math.min(ids - 1, 0xfff) : 0;
  return (eax & ~0x03ff_c000) | (shared << 14);
}
