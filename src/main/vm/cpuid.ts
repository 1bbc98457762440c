// What CPUID tells a guest: KVM's supported leaves, with each vCPU's own APIC id and one flat package of all vCPUs. Main thread.

import { encodeCpuid } from '../../../shared/vcpu-codec.ts';
import type { CpuidEntry } from '../../../shared/vcpu-state.ts';

const LEAF_FEATURES = 1;
const LEAF_TOPOLOGY = 0xb;
const LEAF_TOPOLOGY_V2 = 0x1f;
const LEAF_AMD_SIZES = 0x8000_0008;
const LEAF_AMD_TOPOLOGY = 0x8000_001e;

const LEVEL_SMT = 1;
const LEVEL_CORE = 2;

/** What KVM supports, for vCPU `index` of `vcpus`: the APIC id is the index. Returns struct kvm_cpuid_entry2[]. */
export function cpuidFor(supported: readonly CpuidEntry[], index: number, vcpus: number): Uint8Array {
  return encodeCpuid(supported.map(entry => patch(entry, index, vcpus)));
}

function patch(entry: CpuidEntry, apicId: number, vcpus: number): CpuidEntry {
  const idBits = Math.ceil(Math.log2(vcpus));
  switch (entry.function) {
    case LEAF_FEATURES:
      // ebx: bits 31–24 initial APIC id, 23–16 logical processors of the package (8 bits each).
      return {
        ...entry,
        ebx: ((entry.ebx & 0xffff) | ((Math.min(vcpus, 255) & 0xff) << 16) | ((apicId & 0xff) << 24)) >>> 0,
      };
    case LEAF_TOPOLOGY:
    case LEAF_TOPOLOGY_V2: {
      // One thread a core; all cores in one package. ecx: bits 15–8 level type, 7–0 the sub-leaf.
      const level = entry.index === 0 ? LEVEL_SMT : entry.index === 1 ? LEVEL_CORE : 0;
      const eax = level === LEVEL_CORE ? idBits : 0;
      const ebx = level === LEVEL_SMT ? 1 : level === LEVEL_CORE ? vcpus : 0;
      return { ...entry, eax, ebx, ecx: (level << 8) | (entry.index & 0xff), edx: apicId };
    }
    case LEAF_AMD_SIZES:
      // ecx: bits 15–12 bits of the APIC id that name the core, 7–0 cores - 1.
      return { ...entry, ecx: ((entry.ecx & ~0xf0ff) | (idBits << 12) | (Math.min(vcpus - 1, 255) & 0xff)) >>> 0 };
    case LEAF_AMD_TOPOLOGY:
      return { ...entry, eax: apicId, ebx: apicId & 0xff };
    default:
      return entry;
  }
}
