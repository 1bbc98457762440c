// One vCPU as users see it: registers and other state, affinity, statistics. Main thread.
// On a running vCPU each call takes it out of the guest, does its work between two instructions, and lets it run again: some
// 100 µs. Everything but stats() is for the kvm engine: programs have no registers (`ERR_ENGINE`).

import type { Remote } from 'comlink';
import { HypervisorError, invalidType } from '../../../shared/errors.ts';
import type { StateName, VcpuApi } from '../../../shared/protocol.ts';
import {
  decodeCpuid,
  decodeDebugRegs,
  decodeEvents,
  decodeFpu,
  decodeMpState,
  decodeRegs,
  decodeSregs,
  decodeXcrs,
  encodeDebugRegs,
  encodeEvents,
  encodeFpu,
  encodeGuestDebug,
  encodeMpState,
  encodeRegs,
  encodeSregs,
  encodeXcrs,
} from '../../../shared/vcpu-codec.ts';
import { msrIndices, msrPairs } from '../../../shared/vcpu-fields.ts';
import type {
  CpuidEntry,
  DebugRegs,
  Fpu,
  GuestDebug,
  MpState,
  Regs,
  Sregs,
  VcpuEvents,
  Xcr,
} from '../../../shared/vcpu-state.ts';
import type { VcpuStatsSnapshot } from '../../../shared/vcpu-stats.ts';
import { trace } from '../trace.ts';
import type { DirtyLimit } from './dirty-limit.ts';
import { checkCpus } from './vm-options.ts';

/** @internal What a Vcpu needs of its machine. */
export interface VcpuBackend {
  /** Between two runs of the vCPU, which is created first where it was not yet. A finished VM refuses 'write'. */
  control<T>(intent: 'read' | 'write', invoke: (api: Remote<VcpuApi>) => Promise<T>): Promise<T>;
  setAffinity(cpus: readonly number[]): Promise<void>;
  stats(): VcpuStatsSnapshot;
  cpuid(): Uint8Array;
  setDirtyLimit(pagesPerSecond: number | undefined): void;
  dirtyLimit(): DirtyLimit | undefined;
  /** Throws when nobody would answer a debug exit. */
  checkDebug(): void;
}

const traceControl = trace('vcpu.control');

export class Vcpu {
  /** 0 to vcpus - 1; the APIC id. */
  readonly index: number;
  readonly #backend: VcpuBackend;

  /** @internal Made by VirtualMachine. */
  constructor(index: number, backend: VcpuBackend) {
    this.index = index;
    this.#backend = backend;
  }

  /** KVM_GET_REGS. @throws `ERR_STATE`, `ERR_ENGINE`, `ERR_VCPU_DIED`, `ERR_DISPOSED`, as all of these do */
  async getRegs(): Promise<Regs> {
    return decodeRegs(await this.#get('regs'));
  }

  /** KVM_SET_REGS of the fields that are given; the others keep their value. RangeError for values wider than 64 bits. */
  async setRegs(regs: Partial<Regs>): Promise<void> {
    encodeRegs(regs);
    await this.#modify('regs', bytes => encodeRegs(regs, bytes));
  }

  /** KVM_GET_SREGS. */
  async getSregs(): Promise<Sregs> {
    return decodeSregs(await this.#get('sregs'));
  }

  /** KVM_SET_SREGS of the fields that are given; a segment is given whole. */
  async setSregs(sregs: Partial<Sregs>): Promise<void> {
    encodeSregs(sregs);
    await this.#modify('sregs', bytes => encodeSregs(sregs, bytes));
  }

  /** KVM_GET_FPU. */
  async getFpu(): Promise<Fpu> {
    return decodeFpu(await this.#get('fpu'));
  }

  /** KVM_SET_FPU of the fields that are given. */
  async setFpu(fpu: Partial<Fpu>): Promise<void> {
    encodeFpu(fpu);
    await this.#modify('fpu', bytes => encodeFpu(fpu, bytes));
  }

  /** KVM_GET_XSAVE: the standard-format XSAVE area. */
  async getXsave(): Promise<Uint8Array> {
    return await this.#get('xsave');
  }

  /** KVM_SET_XSAVE with what getXsave() gave. */
  async setXsave(area: Uint8Array): Promise<void> {
    if (!(area instanceof Uint8Array)) throw invalidType('area', 'a Uint8Array', area);
    await this.#set('xsave', area);
  }

  /** KVM_GET_XCRS. */
  async getXcrs(): Promise<Xcr[]> {
    return decodeXcrs(await this.#get('xcrs'));
  }

  /** KVM_SET_XCRS. */
  async setXcrs(xcrs: readonly Xcr[]): Promise<void> {
    await this.#set('xcrs', encodeXcrs(xcrs));
  }

  /** KVM_GET_MSRS, in the order asked for. `ERR_SYSCALL` when KVM does not know one of them. */
  async getMsrs(indices: readonly number[]): Promise<bigint[]> {
    const list = msrIndices(indices);
    return Array.from(await this.#control('read', 'getMsrs', api => api.getMsrs(list) as Promise<BigUint64Array>));
  }

  /** KVM_SET_MSRS. */
  async setMsrs(msrs: readonly (readonly [index: number, value: bigint])[]): Promise<void> {
    const { indices, values } = msrPairs(msrs);
    await this.#control('write', 'setMsrs', api => api.setMsrs(indices, values));
  }

  /** KVM_GET_DEBUGREGS. */
  async getDebugRegs(): Promise<DebugRegs> {
    return decodeDebugRegs(await this.#get('debugregs'));
  }

  /** KVM_SET_DEBUGREGS of the fields that are given. */
  async setDebugRegs(regs: Partial<DebugRegs>): Promise<void> {
    encodeDebugRegs(regs);
    await this.#modify('debugregs', bytes => encodeDebugRegs(regs, bytes));
  }

  /** KVM_GET_VCPU_EVENTS. */
  async getEvents(): Promise<VcpuEvents> {
    return decodeEvents(await this.#get('events'));
  }

  /** KVM_SET_VCPU_EVENTS; `flags` says which of the optional fields count. */
  async setEvents(events: VcpuEvents): Promise<void> {
    await this.#set('events', encodeEvents(events));
  }

  /** KVM_GET_MP_STATE. */
  async getMpState(): Promise<MpState> {
    return decodeMpState(await this.#get('mpState'));
  }

  /** KVM_SET_MP_STATE; all but 'runnable' need a platform with the in-kernel irqchip. */
  async setMpState(state: MpState): Promise<void> {
    await this.#set('mpState', encodeMpState(state));
  }

  /** KVM_SET_GUEST_DEBUG: breakpoints and single steps, answered by the VM's `onDebug` (`ERR_STATE` without it). */
  async setGuestDebug(debug: GuestDebug): Promise<void> {
    this.#backend.checkDebug();
    const bytes = encodeGuestDebug(debug);
    await this.#control('write', 'setGuestDebug', api => api.setGuestDebug(bytes));
  }

  /** KVM_TRANSLATE: the guest physical address of a linear one; undefined where the guest's page tables map nothing. */
  async translate(linear: bigint): Promise<bigint | undefined> {
    if (typeof linear !== 'bigint') throw invalidType('linear', 'a bigint', linear);
    return await this.#control('read', 'translate', api => api.translate(linear) as Promise<bigint | undefined>);
  }

  /** What CPUID tells this vCPU (KVM_SET_CPUID2). */
  getCpuid(): CpuidEntry[] {
    return decodeCpuid(this.#backend.cpuid());
  }

  /** sched_setaffinity of the vCPU's thread; the pool gets it back as it was. Both engines. */
  async setAffinity(cpus: readonly number[]): Promise<void> {
    await this.#backend.setAffinity(checkCpus(cpus, 'cpus'));
  }

  /** Counters in shared memory: read at any time, without disturbing the vCPU. */
  stats(): VcpuStatsSnapshot {
    return this.#backend.stats();
  }

  /**
   * Throttles the vCPU so that it dirties at most about `pagesPerSecond` pages of 4096 bytes a second; undefined: no limit any more. Dirty
   * tracking must be on; while it is off, and after the VM's end, nobody is throttled. Measured every 100 ms: a guest at full speed is slowed
   * down within a fraction of a second, one that dirties less is left alone. At the least a vCPU runs a millisecond a second.
   *
   * Whose pages they are is known with source 'ring', or with one vCPU; else the VM's pages are divided by the time that each vCPU ran. Pages
   * that other threads write raw count as the guest's, and through the API too without `attribution`. A program of the host engine is slowed
   * down at its exits and checkpoints only.
   * @throws `ERR_OUT_OF_RANGE`, `ERR_INVALID_ARG_TYPE`, `ERR_DIRTY_TRACKING_OFF`, `ERR_STATE` (the VM has ended), `ERR_DISPOSED`, `ERR_SYSCALL`
   */
  setDirtyLimit(pagesPerSecond: number | undefined): void {
    this.#backend.setDirtyLimit(pagesPerSecond);
  }

  /** The limit and what comes of it; undefined without one. */
  get dirtyLimit(): DirtyLimit | undefined {
    return this.#backend.dirtyLimit();
  }

  #get(name: StateName): Promise<Uint8Array> {
    return this.#control('read', `get ${name}`, api => api.getState(name) as Promise<Uint8Array>);
  }

  #set(name: StateName, bytes: Uint8Array): Promise<void> {
    return this.#control('write', `set ${name}`, api => api.setState(name, bytes));
  }

  /** Read, change, write, without the vCPU running in between. */
  #modify(name: StateName, change: (bytes: Uint8Array) => Uint8Array): Promise<void> {
    return this.#control('write', `set ${name}`, async api => {
      await api.setState(name, change((await api.getState(name)) as Uint8Array));
    });
  }

  #control<T>(intent: 'read' | 'write', operation: string, invoke: (api: Remote<VcpuApi>) => Promise<T>): Promise<T> {
    return traceControl.promise(
      () => ({ vcpu: this.index, operation }),
      () => this.#backend.control(intent, invoke),
    );
  }
}

/** `ERR_ENGINE` for what programs do not have. */
export function noRegisters(): HypervisorError {
  return new HypervisorError('ERR_ENGINE', 'a vCPU of the host engine runs a program and has no registers');
}
