// What the main thread and the vCPU and I/O workers say to each other: task data, Comlink interfaces, outcomes. Runs on every thread; pure. Control plane only: data goes through control-block.ts and the kvm_run pages.

import type { EndRequest } from './device.ts';
import type { DeviceTableDescription } from './device-table.ts';
import type { DebugEvent } from './exits.ts';
import type { MemoryHandle } from './memory-layout.ts';
import type { Regs, Sregs } from './vcpu-state.ts';
import type { VirtioEvents, VirtioSetup } from './virtio/module.ts';
import type { WireError } from './wire-error.ts';

/** Names of the vCPU states that travel as bytes (KVM_GET_x / KVM_SET_x). */
export type StateName = 'regs' | 'sregs' | 'fpu' | 'xsave' | 'xcrs' | 'debugregs' | 'events' | 'mpState' | 'lapic';

/** What a pool thread gets with its task: enough to answer on the port. */
export interface VcpuTask<Port> {
  readonly engine: 'kvm' | 'host';
  readonly index: number;
  readonly vcpus: number;
  readonly control: SharedArrayBuffer;
  readonly stats: SharedArrayBuffer;
  readonly memory: MemoryHandle;
  readonly port: Port;
}

/** A program for the host engine. */
export interface ProgramSetup {
  readonly source:
    | { readonly type: 'module'; readonly url: string }
    | { readonly type: 'wasm'; readonly bytes: Uint8Array };
  readonly data: unknown;
}

/** What a vCPU is created from. */
export interface VcpuSetup {
  readonly affinity: readonly number[] | undefined;
  /** Engine 'kvm' only. */
  readonly kvm?: { readonly vmFd: number; readonly cpuid: Uint8Array };
}

export interface VcpuCreated {
  /** kvm_run and what follows it; on the host engine a buffer of the same layout. */
  readonly runBuffer: SharedArrayBuffer;
}

/** What a vCPU's exits go to, and what a program is made of. */
export interface VcpuConnection {
  readonly devices: DeviceTableDescription;
  /** Records of exits for tracing; undefined: none. */
  readonly trace: SharedArrayBuffer | undefined;
  /** Engine 'host' only. */
  readonly program?: ProgramSetup;
}

/** Start state over the reset state. */
export interface BootState {
  readonly regs?: Partial<Regs>;
  readonly sregs?: Partial<Sregs>;
  readonly runnable?: boolean;
}

/** Why run() returned. `left`: a pause or a control call asked for it. `failed`: a device server reports the error itself. */
export type RunOutcome =
  | { readonly reason: 'left' | 'stopped' | 'halted' | 'returned' | 'shutdown' | 'failed' }
  | { readonly reason: EndRequest }
  | { readonly reason: 'debug'; readonly event: DebugEvent };

/** What a vCPU worker offers over Comlink. The register calls exist on the kvm engine only (`ERR_ENGINE`). */
export interface VcpuApi {
  /** Node's id of the thread; loads what a vCPU of its engine needs. */
  hello(): number;
  create(setup: VcpuSetup): VcpuCreated;
  /** After create(), once: makes run() possible. */
  connect(connection: VcpuConnection): Promise<void>;
  boot(state: BootState): void;
  /** Drives the vCPU until it leaves the loop. Blocks its thread; rejects when the vCPU cannot go on. */
  run(): RunOutcome | Promise<RunOutcome>;
  getState(name: StateName): Uint8Array;
  setState(name: StateName, bytes: Uint8Array): void;
  getMsrs(indices: Uint32Array): BigUint64Array;
  setMsrs(indices: Uint32Array, values: BigUint64Array): void;
  setGuestDebug(bytes: Uint8Array): void;
  translate(linear: bigint): bigint | undefined;
  setAffinity(cpus: readonly number[]): void;
  /** Closes the vCPU and ends the task: the thread is free again. */
  close(): void;
}

/** What the I/O worker is started with. */
export interface IoWorkerData {
  readonly control: SharedArrayBuffer;
  readonly vcpus: number;
  readonly memory: MemoryHandle;
  readonly virtio: readonly VirtioSetup[];
}

/** Whose exits it serves, and for which devices. */
export interface IoServing {
  readonly devices: DeviceTableDescription;
  readonly runBuffers: readonly SharedArrayBuffer[];
}

/** What it is asked; all but 'end' are answered by 'done' or 'failed'. */
export type IoWorkerRequest = ({ readonly type: 'serve' } & IoServing) | { readonly type: 'pause' | 'resume' | 'end' };

/** What the I/O worker reports. `vcpu` undefined: not in an exit. */
export type IoWorkerMessage =
  | { readonly type: 'opened'; readonly virtio: readonly VirtioEvents[] }
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly error: WireError }
  | { readonly type: 'error'; readonly vcpu: number | undefined; readonly error: WireError }
  | { readonly type: 'fault'; readonly device: string; readonly reason: string }
  | { readonly type: 'end'; readonly vcpu: number; readonly reason: EndRequest };
