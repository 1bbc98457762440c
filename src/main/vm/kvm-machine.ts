// The kernel's side of a VM on the kvm engine: the device, the VM descriptor, its platform, and what CPUID says. Main thread.

import { type NativeSystem, type NativeVm, native } from '../../../native/index.ts';
import type { Device } from '../../../shared/device.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import { KVM_API_VERSION, KVM_CAP } from '../../../shared/generated/kvm-abi.ts';
import { decodeCpuid } from '../../../shared/vcpu-codec.ts';
import type { CpuidEntry } from '../../../shared/vcpu-state.ts';
import { applyCpuTemplate, type CpuidMask, type CpuTemplateName } from './cpu-template.ts';
import { cpuidFor } from './cpuid.ts';
import { SplitIrqchip } from './split-irqchip.ts';
import { type Irqchip, tooManyVcpus } from './vm-options.ts';

/** Below the 256 KiB of firmware that end at 4 GiB: pages that VMX without "unrestricted guest" needs; nothing else may lie there. */
const TSS_ADDR = 0xfffb_d000;
const IDENTITY_MAP_ADDR = 0xfffb_c000;

/** Capabilities without which nothing here works: all kernels of this decade have them. */
const REQUIRED = [
  'USER_MEMORY',
  'IMMEDIATE_EXIT',
  'EXT_CPUID',
  'MP_STATE',
  'VCPU_EVENTS',
  'DEBUGREGS',
  'XSAVE',
  'XCRS',
  'READONLY_MEM',
] as const;

// Asked once per device: the answer is the host's and lasts as long as the process, and KVM takes some 0.4 ms to put it together.
const supportedByDevice = new Map<string, readonly CpuidEntry[]>();

function supportedCpuid(device: string, system: NativeSystem): readonly CpuidEntry[] {
  let supported = supportedByDevice.get(device);
  if (supported === undefined) {
    supported = decodeCpuid(system.supportedCpuid());
    supportedByDevice.set(device, supported);
  }
  return supported;
}

/** What a machine may be made with. */
export interface KvmMachineOptions {
  /** Dirty rings of so many entries per vCPU. Default: none. */
  readonly ringEntries?: number | undefined;
  /** Checked. Default: all that KVM supports. */
  readonly cpuTemplate?: readonly (CpuTemplateName | CpuidMask)[] | undefined;
}

export class KvmMachine {
  readonly vm: NativeVm;
  readonly #system: NativeSystem;
  /** Without what differs per vCPU. */
  readonly #cpuid: readonly CpuidEntry[];
  #split: SplitIrqchip | undefined;
  #hasPlatform = false;

  /**
   * Opens the device and makes an empty VM.
   * @throws `ERR_KVM_VERSION`, `ERR_KVM_CAPABILITY`, `ERR_CPU_FEATURE`, `ERR_TOO_MANY_VCPUS`, `ERR_SYSCALL`; nothing stays open then.
   */
  constructor(device: string, vcpus: number, { ringEntries, cpuTemplate = [] }: KvmMachineOptions = {}) {
    const system = native().openSystem(device);
    try {
      const version = system.apiVersion();
      if (version !== KVM_API_VERSION) {
        throw new HypervisorError(
          'ERR_KVM_VERSION',
          `${device} speaks KVM's API version ${version}, not ${KVM_API_VERSION}`,
          { info: { device, version } },
        );
      }
      for (const name of REQUIRED) {
        if (system.checkExtension(KVM_CAP[name]) === 0) {
          throw new HypervisorError('ERR_KVM_CAPABILITY', `${device} lacks KVM_CAP_${name}`, {
            info: { device, capability: name },
          });
        }
      }
      const most = system.checkExtension(KVM_CAP.MAX_VCPUS);
      if (vcpus > most) throw tooManyVcpus(vcpus, most);
      this.#cpuid = applyCpuTemplate(supportedCpuid(device, system), cpuTemplate);
      this.vm = system.createVm();
    } catch (error) {
      system.close();
      throw error;
    }
    this.#system = system;
    try {
      // Before any vCPU: each one gets its ring when it is made.
      if (ringEntries !== undefined) this.vm.enableDirtyRing(ringEntries);
      if (this.vm.checkExtension(KVM_CAP.SET_TSS_ADDR) > 0) this.vm.setTssAddr(TSS_ADDR);
      if (this.vm.checkExtension(KVM_CAP.SET_IDENTITY_MAP_ADDR) > 0) this.vm.setIdentityMapAddr(IDENTITY_MAP_ADDR);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Interrupt controllers, and 'kernel': the PIT. Before any vCPU exists. @throws `ERR_KVM_CAPABILITY`, `ERR_SYSCALL` */
  createPlatform(irqchip: Irqchip): void {
    if (irqchip === 'split') this.#split = new SplitIrqchip(this.vm);
    else {
      this.vm.createIrqchip();
      this.vm.createPit();
    }
    this.#hasPlatform = true;
  }

  /** createPlatform() was called. */
  get hasPlatform(): boolean {
    return this.#hasPlatform;
  }

  /** Those of the platform that the kernel does not have. */
  get devices(): readonly Device[] {
    return this.#split === undefined ? [] : [this.#split.device];
  }

  /** A device's line to a pin of the interrupt controllers rises or falls. */
  irqLine(pin: number, asserted: boolean): void {
    if (this.#split === undefined) this.vm.irqLine(pin, asserted ? 1 : 0);
    else this.#split.setLine(pin, asserted);
  }

  /** struct kvm_cpuid_entry2[] for one vCPU: after createPlatform() where there is one. */
  cpuid(index: number, vcpus: number): Uint8Array {
    const deadlineTimer = this.#hasPlatform && this.vm.checkExtension(KVM_CAP.TSC_DEADLINE_TIMER) > 0;
    return cpuidFor(this.#cpuid, index, { vcpus, deadlineTimer });
  }

  /** After all vCPUs are closed and memory is detached. Idempotent. */
  close(): void {
    this.vm.close();
    this.#system.close();
  }
}
