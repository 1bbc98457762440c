// What a device is: ranges of ports or guest physical addresses, and two functions. Runs on every thread; pure.
// A closure lives on the main thread; a module (DeviceSpec) lives where it is put: on each vCPU's own thread, or on the
// VM's I/O worker. The table that routes an access to a device is device-table.ts.

import type { GuestMemory } from './guest-memory.ts';
import type { U64 } from './units.ts';

/** Ports [base, base + length): 0 to 0xffff. */
export interface PortRange {
  readonly base: number;
  readonly length: number;
}

/** Guest physical addresses [base, base + length), bytes. */
export interface MmioRange {
  readonly base: U64;
  readonly length: U64;
}

/** What a read may answer: wider values are cut to the access's size; anything but an integer is ERR_DEVICE_HANDLER. */
export type DeviceValue = number | bigint;

/** How a device may end the VM. */
export const END_REQUESTS = ['power-off', 'reset', 'panic'] as const;
export type EndRequest = (typeof END_REQUESTS)[number];

/** Who accesses, and what a handler may ask for besides answering. Valid during the call only. */
export interface DeviceAccess {
  /** Index of the vCPU that executes the access. */
  readonly vcpu: number;
  /** Ends the VM with this reason, as firmware does when the guest asks for it. */
  end(reason: EndRequest): void;
}

/** Anything that handles accesses. Absent functions: reads give all ones, writes vanish. Handlers are synchronous. */
export interface DeviceHandlers {
  /** `offset` from the range's base in bytes; `size` 1, 2, 4 or 8 bytes (a piece of an access that crosses a page may have others). */
  read?(offset: number, size: number, access: DeviceAccess): DeviceValue;
  /** `value` is a number for up to 4 bytes, and a bigint for more (a number would not hold it). */
  write?(offset: number, size: number, value: DeviceValue, access: DeviceAccess): void;
  /** Modules with where: 'vcpu' alone: the vCPU is closed. Called once, on its thread, unless that was ended by force. Must not throw. */
  close?(): void;
}

/**
 * A device as a closure: its handlers run on the main thread, synchronously, while the vCPU sleeps. They may call
 * `vm.stop()` or `vm.pause()`, whose promises settle after the handler has returned.
 */
export interface Device extends DeviceHandlers {
  readonly name: string;
  readonly pio?: PortRange;
  readonly mmio?: MmioRange;
}

/** A device as a module: it exports `createDevice(context)`. Made by `deviceModule()`. */
export interface DeviceSpec {
  readonly kind: 'node-kvm.device-module';
  readonly url: string;
  readonly name: string;
  readonly pio?: PortRange;
  readonly mmio?: MmioRange;
  /** 'vcpu': one instance on each vCPU's thread (share through `state`); 'io': one instance on the VM's I/O worker. */
  readonly where: 'vcpu' | 'io';
  readonly state?: SharedArrayBuffer;
}

/** What a device module's `createDevice` gets. */
export interface DeviceContext {
  readonly name: string;
  /** The vCPU whose thread this instance lives on; -1 on the I/O worker. */
  readonly vcpu: number;
  readonly memory: GuestMemory;
  /** The words that all instances share. */
  readonly state: SharedArrayBuffer | undefined;
}

/** What a device module exports. */
export interface DeviceModule {
  createDevice(context: DeviceContext): DeviceHandlers | Promise<DeviceHandlers>;
}

/** Type guard: is it a module rather than a closure? */
export function isDeviceSpec(device: Device | DeviceSpec): device is DeviceSpec {
  return 'kind' in device && device.kind === 'node-kvm.device-module';
}
