// What CPUID tells a guest: KVM's supported leaves, with each vCPU's own place among all of them (cpuid-topology.ts), and what a guest of a
// hypervisor is to know. Main thread; pure.

import { encodeCpuid } from '../../../shared/vcpu-codec.ts';
import type { CpuidEntry } from '../../../shared/vcpu-state.ts';
import { withTopology } from './cpuid-topology.ts';

const LEAF_FEATURES = 1;
/** Leaf 1, ecx: the LAPIC's timer takes a deadline; KVM emulates it on every host, and its list never has the bit. */
const TSC_DEADLINE = 2 ** 24;
/** Leaf 1, ecx: there are leaves from 0x40000000 on, KVM's clock among them. */
const HYPERVISOR = 2 ** 31;
const LEAF_KVM = 0x4000_0000;

/** What of a VM's platform shows in CPUID. */
export interface CpuidPlatform {
  readonly vcpus: number;
  /** KVM emulates the LAPICs and their deadline timer (KVM_CAP_TSC_DEADLINE_TIMER). */
  readonly deadlineTimer: boolean;
}

/** What KVM supports, for vCPU `index`: the APIC id is the index. Returns struct kvm_cpuid_entry2[]. */
export function cpuidFor(supported: readonly CpuidEntry[], index: number, platform: CpuidPlatform): Uint8Array {
  const hasHypervisor = supported.some(entry => entry.function === LEAF_KVM);
  const bits = (platform.deadlineTimer ? TSC_DEADLINE : 0) + (hasHypervisor ? HYPERVISOR : 0);
  const entries = withTopology(supported, index, platform.vcpus).map(entry =>
    entry.function === LEAF_FEATURES ? { ...entry, ecx: (entry.ecx | bits) >>> 0 } : entry,
  );
  return encodeCpuid(entries);
}
