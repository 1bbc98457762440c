// What a program of the host engine sees: the guest's side of ports, MMIO and HLT, in JavaScript. Every thread; pure types.

import type { DeviceValue } from './device.ts';
import type { GuestMemory } from './guest-memory.ts';

/** Handed to `run(ctx)` of a program module. Every call but the constants is an exit: pause and stop take effect there. */
export interface ProgramContext<Data = unknown> {
  readonly vcpu: number;
  readonly vcpus: number;
  readonly memory: GuestMemory;
  /** What `program(module, data)` was given; each vCPU has its own copy. */
  readonly data: Data;
  /** OUT: `size` 1, 2 or 4 bytes. */
  out(port: number, size: number, value: number): void;
  /** IN: `size` 1, 2 or 4 bytes. */
  in(port: number, size: number): number;
  /** A read of `size` 1, 2, 4 or 8 bytes at a guest physical address that a device claims; a bigint for 8 bytes. */
  mmioRead(addr: number | bigint, size: number): DeviceValue;
  mmioWrite(addr: number | bigint, size: number, value: DeviceValue): void;
  /** HLT: this vCPU is done. Does not return. */
  halt(): never;
  /** A place where pause and stop take effect, for loops without exits. */
  checkpoint(): void;
}

/** What a program module exports. */
export interface ProgramModule {
  run(context: ProgramContext): void | Promise<void>;
}
