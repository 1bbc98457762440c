// Decodes a port or memory-mapped access in a vCPU's kvm_run page and calls the device. The vCPU's own thread uses it for
// devices that live there; the main thread and the I/O worker use it on the same page for an exit that was handed over.
// An end of interrupt for an IOAPIC in user space comes this way too. Pure. The hot path: numbers only (bigint for 8-byte MMIO), one DataView made once, nothing allocated.

import { type DeviceAccess, type DeviceHandlers, type DeviceValue, END_REQUESTS } from './device.ts';
import type { DeviceTable } from './device-table.ts';
import { IOAPIC_ADDR, IOAPIC_EOI } from './devices/ioapic.ts';
import { HypervisorError, isHypervisorError, messageOf, outOfRange } from './errors.ts';
import { KVM_EXIT, KVM_EXIT_IO, KVM_RUN } from './generated/kvm-abi.ts';
import type { GuestMemory } from './guest-memory.ts';
import { hex } from './units.ts';

const { io, mmio } = KVM_RUN;
const LITTLE_ENDIAN = true;

export class IoDispatch {
  readonly #run: DataView;
  readonly #table: DeviceTable;
  readonly #handlers: readonly (DeviceHandlers | undefined)[];
  readonly #access: DeviceAccess;

  /** `handlers` by device index; undefined for devices that live on another thread. */
  constructor(
    run: DataView,
    table: DeviceTable,
    handlers: readonly (DeviceHandlers | undefined)[],
    access: DeviceAccess,
  ) {
    this.#run = run;
    this.#table = table;
    this.#handlers = handlers;
    // Handlers are JavaScript: the types alone do not keep a wrong reason out of the VM's result.
    this.#access = {
      vcpu: access.vcpu,
      end: reason => {
        if (!END_REQUESTS.includes(reason)) throw outOfRange('reason', "'power-off', 'reset' or 'panic'", reason);
        access.end(reason);
      },
    };
  }

  /** The exit in the page is a store to RAM that its guest may write: carries it out. False for everything else. */
  storeIn(memory: Pick<GuestMemory, 'storeForGuest'>): boolean {
    const run = this.#run;
    if (run.getUint32(KVM_RUN.exitReason, LITTLE_ENDIAN) !== KVM_EXIT.MMIO || run.getUint8(mmio.isWrite) === 0)
      return false;
    return memory.storeForGuest(this.#physAddr(), run, mmio.data, run.getUint32(mmio.len, LITTLE_ENDIAN));
  }

  /** Index of the device that the exit in the page is for, or -1. */
  target(): number {
    const run = this.#run;
    const reason = run.getUint32(KVM_RUN.exitReason, LITTLE_ENDIAN);
    if (reason === KVM_EXIT.IO) return this.#table.findPort(run.getUint16(io.port, LITTLE_ENDIAN));
    return this.#table.findMmio(reason === KVM_EXIT.IOAPIC_EOI ? IOAPIC_ADDR + IOAPIC_EOI : this.#physAddr());
  }

  /** Does the device live on this thread? */
  isLocal(device: number): boolean {
    return this.#handlers[device] !== undefined;
  }

  /**
   * Calls the device for the exit in the page; all items of a `rep` one by one.
   * Throws what its handler throws when that is a HypervisorError, and `ERR_DEVICE_HANDLER` with the cause otherwise.
   */
  perform(device: number): void {
    const handlers = this.#handlers[device];
    const entry = this.#table.entries[device];
    if (handlers === undefined || entry === undefined)
      throw new HypervisorError('ERR_DEVICE_HANDLER', `device ${device} does not live on this thread`);
    const reason = this.#run.getUint32(KVM_RUN.exitReason, LITTLE_ENDIAN);
    const isPio = reason === KVM_EXIT.IO;
    try {
      if (isPio) this.#pio(handlers, entry.pio?.base ?? 0);
      // A LAPIC tells the IOAPIC: the same as a write to its EOI register.
      else if (reason === KVM_EXIT.IOAPIC_EOI)
        handlers.write?.(IOAPIC_EOI, 4, this.#run.getUint8(KVM_RUN.eoi.vector), this.#access);
      else this.#mmio(handlers, entry.mmio?.base ?? 0);
    } catch (cause) {
      if (isHypervisorError(cause)) throw cause;
      const where = isPio
        ? `port ${hex(this.#run.getUint16(io.port, LITTLE_ENDIAN))}`
        : `address ${hex(this.#physAddr())}`;
      throw new HypervisorError(
        'ERR_DEVICE_HANDLER',
        `device '${entry.name}' failed at ${where}: ${messageOf(cause)}`,
        {
          cause,
          info: { device: entry.name, vcpu: this.#access.vcpu },
        },
      );
    }
  }

  /** Nobody claims the access: reads give all ones, writes vanish. */
  float(): void {
    const run = this.#run;
    if (run.getUint32(KVM_RUN.exitReason, LITTLE_ENDIAN) === KVM_EXIT.IO) {
      if (run.getUint8(io.direction) === KVM_EXIT_IO.OUT) return;
      const at = run.getUint32(io.dataOffset, LITTLE_ENDIAN);
      const end = at + run.getUint8(io.size) * run.getUint32(io.count, LITTLE_ENDIAN);
      for (let i = at; i < end; i++) run.setUint8(i, 0xff);
    } else if (run.getUint32(KVM_RUN.exitReason, LITTLE_ENDIAN) === KVM_EXIT.MMIO && run.getUint8(mmio.isWrite) === 0) {
      for (let i = 0; i < 8; i++) run.setUint8(mmio.data + i, 0xff);
    }
  }

  #physAddr(): number {
    // Guest physical addresses have at most 52 bits: exact in a number.
    return (
      this.#run.getUint32(mmio.physAddr + 4, LITTLE_ENDIAN) * 2 ** 32 +
      this.#run.getUint32(mmio.physAddr, LITTLE_ENDIAN)
    );
  }

  #pio(handlers: DeviceHandlers, base: number): void {
    const run = this.#run;
    const size = run.getUint8(io.size);
    const offset = run.getUint16(io.port, LITTLE_ENDIAN) - base;
    const out = run.getUint8(io.direction) === KVM_EXIT_IO.OUT;
    let at = run.getUint32(io.dataOffset, LITTLE_ENDIAN);
    for (let left = run.getUint32(io.count, LITTLE_ENDIAN); left > 0; left--) {
      if (out) this.#write(handlers, offset, size, at);
      else this.#read(handlers, offset, size, at);
      at += size;
    }
  }

  #mmio(handlers: DeviceHandlers, base: number): void {
    const size = this.#run.getUint32(mmio.len, LITTLE_ENDIAN);
    const offset = this.#physAddr() - base;
    if (this.#run.getUint8(mmio.isWrite) !== 0) this.#write(handlers, offset, size, mmio.data);
    else this.#read(handlers, offset, size, mmio.data);
  }

  #write(handlers: DeviceHandlers, offset: number, size: number, at: number): void {
    if (handlers.write === undefined) return;
    const result: unknown = handlers.write(offset, size, loadValue(this.#run, at, size), this.#access);
    if (result !== undefined) refuseAsync(result, 'write');
  }

  #read(handlers: DeviceHandlers, offset: number, size: number, at: number): void {
    const value = handlers.read === undefined ? -1 : handlers.read(offset, size, this.#access);
    if (typeof value === 'object') refuseAsync(value, 'read');
    storeValue(this.#run, at, size, value);
  }
}

/** The value of `size` bytes at `at`: a number up to 4 bytes, a bigint above. */
export function loadValue(run: DataView, at: number, size: number): DeviceValue {
  switch (size) {
    case 1:
      return run.getUint8(at);
    case 2:
      return run.getUint16(at, LITTLE_ENDIAN);
    case 4:
      return run.getUint32(at, LITTLE_ENDIAN);
    case 8:
      return run.getBigUint64(at, LITTLE_ENDIAN);
    case 3:
      return run.getUint16(at, LITTLE_ENDIAN) | (run.getUint8(at + 2) << 16);
    default:
      return BigInt.asUintN(size * 8, run.getBigUint64(at, LITTLE_ENDIAN));
  }
}

/** Stores the low `size` bytes of what a handler answered; TypeError for anything but an integer. */
export function storeValue(run: DataView, at: number, size: number, value: DeviceValue): void {
  if (typeof value === 'bigint') {
    if (size === 8) run.setBigUint64(at, BigInt.asUintN(64, value), LITTLE_ENDIAN);
    else for (let i = 0; i < size; i++) run.setUint8(at + i, Number((value >> BigInt(8 * i)) & 0xffn));
    return;
  }
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
    throw new TypeError(
      `a read must return an integer (a number up to 2^53 - 1, or a bigint), got ${typeof value} ${describe(value)}`,
    );
  }
  switch (size) {
    case 1:
      run.setUint8(at, value);
      return;
    case 2:
      run.setUint16(at, value, LITTLE_ENDIAN);
      return;
    case 4:
      run.setUint32(at, value, LITTLE_ENDIAN);
      return;
    default:
      storeValue(run, at, size, BigInt(value));
  }
}

function describe(value: unknown): string {
  return typeof value === 'object' && value !== null ? (value.constructor?.name ?? 'object') : String(value);
}

/** A promise from a handler would be lost, and its rejection would end the process. */
function refuseAsync(result: unknown, handler: 'read' | 'write'): void {
  if (typeof result !== 'object' || result === null || !('then' in result) || typeof result.then !== 'function') return;
  result.then(undefined, () => {});
  throw new TypeError(`a handler must be synchronous, but ${handler}() returned a promise`);
}
