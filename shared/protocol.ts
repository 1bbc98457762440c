// What the main thread and the vCPU and I/O workers say to each other: task data, Comlink interfaces, outcomes, and errors on
// the wire. Runs on every thread; pure. Control plane only: data goes through control-block.ts and the kvm_run pages.

import type { DeviceTableDescription } from './device-table.ts';
import type { EndRequest } from './device.ts';
import { type ErrorCode, HypervisorError } from './errors.ts';
import type { DebugEvent } from './exits.ts';
import type { MemoryHandle } from './memory-layout.ts';
import type { Regs, Sregs } from './vcpu-state.ts';

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
  readonly source: { readonly type: 'module'; readonly url: string } | { readonly type: 'wasm'; readonly bytes: Uint8Array };
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
  readonly devices: DeviceTableDescription;
  readonly runBuffers: readonly SharedArrayBuffer[];
}

/** What the I/O worker reports. */
export type IoWorkerMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly error: WireError }
  | { readonly type: 'error'; readonly vcpu: number; readonly error: WireError }
  | { readonly type: 'end'; readonly vcpu: number; readonly reason: EndRequest };

/** An error as it crosses threads: class, code and cause survive, which structured clone and Comlink drop. */
export interface WireError {
  readonly marker: 'node-kvm.error';
  readonly class: 'HypervisorError' | 'TypeError' | 'RangeError' | 'Error';
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
  readonly errno: number | undefined;
  readonly syscall: string | undefined;
  readonly info: Record<string, unknown> | undefined;
  readonly cause: WireError | undefined;
}

/** How many causes below each other are kept: enough for people, and an end for a cycle. */
const CAUSES_MAX = 4;

export function toWire(thrown: unknown, depth = 0): WireError {
  if (!(thrown instanceof Error)) {
    return { marker: 'node-kvm.error', class: 'Error', message: String(thrown), stack: undefined, code: undefined, errno: undefined, syscall: undefined, info: undefined, cause: undefined };
  }
  const field = (name: string): unknown => (name in thrown ? (thrown as unknown as Record<string, unknown>)[name] : undefined);
  const code = field('code');
  const errno = field('errno');
  const syscall = field('syscall');
  return {
    marker: 'node-kvm.error',
    class: thrown instanceof HypervisorError ? 'HypervisorError' : thrown instanceof TypeError ? 'TypeError' : thrown instanceof RangeError ? 'RangeError' : 'Error',
    message: thrown.message,
    stack: thrown.stack,
    code: typeof code === 'string' ? code : undefined,
    errno: typeof errno === 'number' ? errno : undefined,
    syscall: typeof syscall === 'string' ? syscall : undefined,
    info: thrown instanceof HypervisorError ? thrown.info : undefined,
    cause: thrown.cause === undefined || depth >= CAUSES_MAX ? undefined : toWire(thrown.cause, depth + 1),
  };
}

export function fromWire(wire: WireError): Error {
  const cause = wire.cause === undefined ? undefined : fromWire(wire.cause);
  const error = rebuild(wire, cause);
  if (wire.stack !== undefined) Object.defineProperty(error, 'stack', { value: wire.stack, configurable: true, writable: true });
  return error;
}

function rebuild(wire: WireError, cause: Error | undefined): Error {
  if (wire.class === 'HypervisorError') {
    return new HypervisorError(wire.code as ErrorCode, wire.message, {
      ...(wire.errno === undefined ? {} : { errno: wire.errno }),
      ...(wire.syscall === undefined ? {} : { syscall: wire.syscall }),
      ...(wire.info === undefined ? {} : { info: wire.info }),
      ...(cause === undefined ? {} : { cause }),
    });
  }
  const Class = wire.class === 'TypeError' ? TypeError : wire.class === 'RangeError' ? RangeError : Error;
  const error = new Class(wire.message, cause === undefined ? undefined : { cause });
  for (const key of ['code', 'errno', 'syscall'] as const) {
    if (wire[key] !== undefined) Object.assign(error, { [key]: wire[key] });
  }
  return error;
}

export function isWireError(value: unknown): value is WireError {
  return typeof value === 'object' && value !== null && 'marker' in value && value.marker === 'node-kvm.error';
}

/** Comlink's handler for errors, as far as we need it: its own marker symbol is private. */
interface ThrowHandler {
  canHandle(value: unknown): value is { value: unknown };
  serialize(value: { value: unknown }): [unknown, Transferable[]];
  deserialize(serialized: unknown): { value: unknown };
}
type Transferable = ArrayBuffer;

/**
 * Comlink's 'throw' handler with our errors in it: they keep code, errno, syscall, info, cause and class. What it sends is a superset
 * of Comlink's own form, so that an application's own Comlink workers, which share the handler table, still understand it.
 */
export function wireThrowHandler(original: ThrowHandler): ThrowHandler {
  return {
    canHandle: original.canHandle,
    serialize({ value }) {
      if (!(value instanceof Error)) return original.serialize({ value });
      return [{ isError: true, value: { message: value.message, name: value.name, stack: value.stack, wire: toWire(value) } }, []];
    },
    deserialize(serialized) {
      const wire = (serialized as { value?: { wire?: unknown } }).value?.wire;
      if (isWireError(wire)) throw fromWire(wire);
      return original.deserialize(serialized);
    },
  };
}
