// What this machine offers: KVM, sources of dirty pages, huge pages, Node, engines. Main thread; reads /proc and /sys, opens the KVM
// device, makes small VMs and some pages of memory, and leaves nothing behind. Never throws for what it finds missing.

import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { native } from '../../native/index.ts';
import { KVM_API_VERSION, KVM_CAP } from '../../shared/generated/kvm-abi.ts';
import { KIB } from '../../shared/units.ts';
import { type Availability, type KvmKind, kvmKind, textOf } from './host-facts.ts';
import { AUTO_ORDER, type DirtySourceReport, probeDirtySources } from './memory/dirty-probe.ts';
import type { DirtySourceName } from './memory/dirty-source.ts';
import { kvmDevice } from './vm/engine.ts';

export type { Availability, KvmKind } from './host-facts.ts';

export interface KvmCapabilities {
  /** Path of the device. */
  readonly device: string;
  readonly present: boolean;
  /** It can be opened for reading and writing, and a VM could be made. */
  readonly usable: boolean;
  /** Why it is not usable, and what to do; absent when it is. */
  readonly problem?: string;
  readonly remedy?: string;
  readonly kind: KvmKind;
  /** KVM_GET_API_VERSION; absent when the device cannot be opened. */
  readonly apiVersion?: number;
  /** KVM_CHECK_EXTENSION of every capability that the library knows; 0 = no. Empty when the device cannot be opened. */
  readonly capabilities: Readonly<Record<string, number>>;
  /** Limits of KVM itself; absent when the device cannot be opened. */
  readonly limits?: { readonly vcpusRecommended: number; readonly vcpusMax: number; readonly memorySlots: number };
}

/** One pool of explicit huge pages. */
export interface HugePagePool {
  readonly sizeBytes: number;
  readonly total: number;
  readonly free: number;
}

export interface HostCapabilities {
  readonly system: {
    readonly platform: string;
    readonly arch: string;
    readonly kernel: string;
    readonly cpuModel: string;
    /** Logical processors that this process may use. */
    readonly cpus: number;
  };
  readonly node: {
    readonly version: string;
    /** The addon loads and memory of its own becomes a SharedArrayBuffer. */
    readonly externalBuffers: Availability;
  };
  readonly kvm: KvmCapabilities;
  /** Each source of dirty pages: whether it works here, and whose writes it was seen to report. */
  readonly dirtyTracking: Readonly<Record<DirtySourceName, DirtySourceReport>> & {
    /** `log: 'manual'` of the source 'bitmap'. */
    readonly manualProtect: Availability;
    /** What `auto` takes here. */
    readonly auto: DirtySourceName;
  };
  readonly hugePages: {
    /** Mode of transparent huge pages: always, madvise, never; 'unavailable' without them in the kernel. */
    readonly transparent: string;
    readonly pools: readonly HugePagePool[];
  };
  readonly engines: { readonly kvm: Availability; readonly host: Availability };
}

/** What `node-kvm doctor` prints. Blocks for a few milliseconds. */
export function probe(): HostCapabilities {
  const externalBuffers = probeExternalBuffers();
  const kvm = probeKvm(externalBuffers);
  return {
    system: {
      platform: process.platform,
      arch: process.arch,
      kernel: release(),
      cpuModel: cpus()[0]?.model.trim() || 'unknown',
      cpus: availableParallelism(),
    },
    node: { version: process.version, externalBuffers },
    kvm,
    dirtyTracking: probeTracking(kvm),
    hugePages: { transparent: transparentHugePages(), pools: hugePagePools() },
    engines: {
      kvm: { available: kvm.usable, reason: kvm.problem ?? `${kvm.device} works (${kvm.kind})` },
      host: externalBuffers.available
        ? { available: true, reason: 'JavaScript and WebAssembly programs over guest memory, no KVM needed' }
        : externalBuffers,
    },
  };
}

function probeExternalBuffers(): Availability {
  try {
    const { buffer } = native().mapMemory({ size: native().pageSize, kind: 'anonymous' });
    const word = new Int32Array(buffer, 0, 1);
    Atomics.store(word, 0, 1);
    return Atomics.load(word, 0) === 1
      ? { available: true, reason: `the addon is loaded, memory pages of ${native().pageSize} bytes` }
      : { available: false, reason: 'a mapped page does not keep what is stored in it' };
  } catch (error) {
    return { available: false, reason: messageOf(error) };
  }
}

function probeKvm(addon: Availability): KvmCapabilities {
  const device = kvmDevice();
  const base = { device, present: existsSync(device), usable: false, kind: kvmKind(), capabilities: {} };
  if (!base.present) return { ...base, problem: `there is no ${device}`, remedy: remedyForMissing(base.kind) };
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
  } catch (error) {
    const problem = `${device} may not be opened: ${messageOf(error)}`;
    return { ...base, problem, remedy: 'join the group that owns it: sudo usermod -aG kvm "$USER", then log in again' };
  }
  if (!addon.available) return { ...base, problem: `the addon does not work: ${addon.reason}` };
  return probeSystem(base);
}

function probeSystem(base: Omit<KvmCapabilities, 'limits' | 'apiVersion'>): KvmCapabilities {
  let opened: Omit<KvmCapabilities, 'problem' | 'remedy'> = base;
  try {
    const system = native().openSystem(base.device);
    try {
      const capabilities = Object.fromEntries(
        Object.entries(KVM_CAP).map(([name, number]) => [name, system.checkExtension(number)]),
      );
      const limits = {
        vcpusRecommended: capabilities['NR_VCPUS'] ?? 0,
        vcpusMax: capabilities['MAX_VCPUS'] ?? 0,
        memorySlots: capabilities['NR_MEMSLOTS'] ?? 0,
      };
      const apiVersion = system.apiVersion();
      opened = { ...base, apiVersion, capabilities, limits };
      if (apiVersion !== KVM_API_VERSION) {
        return { ...opened, problem: `KVM's API version is ${apiVersion}, ${KVM_API_VERSION} is needed` };
      }
      system.createVm().close();
      return { ...opened, usable: true };
    } finally {
      system.close();
    }
  } catch (error) {
    return { ...opened, problem: messageOf(error), remedy: 'see the kernel log (dmesg) for what KVM says' };
  }
}

function remedyForMissing(kind: KvmKind): string {
  if (kind === 'vmx') return 'load the module: sudo modprobe kvm_intel';
  if (kind === 'svm') return 'load the module: sudo modprobe kvm_amd';
  return 'turn virtualization on in the firmware, or nested virtualization in the machine around this one; in a container pass --device /dev/kvm';
}

function probeTracking(kvm: KvmCapabilities): HostCapabilities['dirtyTracking'] {
  const sources = probeDirtySources();
  const manual = kvm.capabilities['MANUAL_DIRTY_LOG_PROTECT2'] ?? 0;
  return {
    ...sources,
    manualProtect: {
      available: kvm.usable && manual > 0,
      reason: kvm.usable ? `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 = ${manual}` : 'needs KVM',
    },
    auto: AUTO_ORDER.find(name => sources[name].available) ?? 'host',
  };
}

/** The mode in brackets: `always [madvise] never`. */
function transparentHugePages(): string {
  return /\[(\w+)\]/.exec(textOf('/sys/kernel/mm/transparent_hugepage/enabled'))?.[1] ?? 'unavailable';
}

function hugePagePools(): HugePagePool[] {
  const folder = '/sys/kernel/mm/hugepages';
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .map(name => ({
      sizeBytes: Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? 0) * KIB,
      total: Number(textOf(`${folder}/${name}/nr_hugepages`)),
      free: Number(textOf(`${folder}/${name}/free_hugepages`)),
    }))
    .filter(pool => pool.sizeBytes > 0)
    .sort((a, b) => a.sizeBytes - b.sizeBytes);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
