// One request of the driver: a validated copy of its descriptors, and access to the buffers that they name, in place.
// Runs on the device's thread; pure. Rings fill chains and queues reuse them: nothing is allocated per request, except
// the views that a device asks for.

import { HypervisorError } from '../errors.ts';
import type { GuestMemory } from '../guest-memory.ts';
import { hex } from '../units.ts';

/** Descriptors of one request at most, apart from rings that are longer: what readv() and writev() take at once. */
export const CHAIN_MAX = 1024;
/** Longer lists of descriptors are let go when a chain is reused. */
const KEPT = 64;
const BYTES_MAX = 2 ** 32 - 1;

/** The driver broke the rules: the device needs a reset. The message says which. Never leaves the queue. */
export class QueueFault extends Error {}

/**
 * Was an access refused because there is no such RAM (any more)? By its code: the memory may come from another copy of this
 * library. Everything else that is thrown is a bug, and not the driver's doing.
 */
export function isMemoryError(thrown: unknown): thrown is Error {
  return thrown instanceof Error && 'code' in thrown && /^ERR_(MEMORY_|DISPOSED$)/.test(String(thrown.code));
}

/** Tells the transport that the device needs a reset. */
export type ReportFault = (reason: string) => void;

/** The queue that a chain was taken from. */
export interface ChainOwner {
  readonly isOpen: boolean;
}

/** Buffers of the driver's: first those that the device reads, then those that it writes. Valid until it is put back. */
export class Chain {
  /** @internal What the ring knows it by. */
  id = 0;
  /** @internal Slots that it takes up in a packed ring. */
  slots = 0;
  /** @internal The device has it. */
  taken = false;
  /** Bytes that the device may read, and may write. */
  readableLength = 0;
  writableLength = 0;
  /** @internal */
  readonly owner: ChainOwner;
  readonly #memory: GuestMemory;
  readonly #fault: ReportFault;
  #addresses = new Float64Array(8);
  #lengths = new Float64Array(8);
  #count = 0;
  #readable = 0;

  constructor(owner: ChainOwner, memory: GuestMemory, fault: ReportFault) {
    this.owner = owner;
    this.#memory = memory;
    this.#fault = fault;
  }

  /**
   * False when it was put back, and after a reset, a fault, or the driver's taking the queue back: its buffers are not the device's any more. For
   * devices that keep chains: putting it back then is to no effect.
   */
  get isOpen(): boolean {
    return this.taken && this.owner.isOpen;
  }

  /** @internal */
  begin(): void {
    this.#count = 0;
    this.#readable = 0;
    this.readableLength = 0;
    this.writableLength = 0;
    this.slots = 0;
    if (this.#addresses.length <= KEPT) return;
    this.#addresses = new Float64Array(8);
    this.#lengths = new Float64Array(8);
  }

  /** @internal One descriptor more: copied already, checked here. @throws QueueFault */
  add(address: number, length: number, writable: boolean): void {
    if (length === 0) throw new QueueFault('a descriptor of zero bytes');
    if (!this.#memory.covers(address, length, writable))
      throw new QueueFault(`[${hex(address)}, +${hex(length)}) is not ${writable ? 'writable ' : ''}RAM`);
    if (!writable && this.#readable < this.#count) throw new QueueFault('a readable descriptor after a writable one');
    if (this.readableLength + this.writableLength + length > BYTES_MAX)
      throw new QueueFault('a chain of more than 4 GiB');
    if (this.#count === this.#addresses.length) this.#grow();
    this.#addresses[this.#count] = address;
    this.#lengths[this.#count] = length;
    this.#count += 1;
    if (writable) this.writableLength += length;
    else {
      this.#readable += 1;
      this.readableLength += length;
    }
  }

  /**
   * Copies what the driver wrote, from byte `offset` of the readable part on; returns how many bytes it gave. Read each byte
   * once: another vCPU may change it in between.
   */
  read(offset: number, into: Uint8Array): number {
    return this.#each(0, this.#readable, offset, into.byteLength, (address, length, done) =>
      this.#memory.read(address, length === into.byteLength ? into : into.subarray(done, done + length)),
    );
  }

  /** Copies `from` to byte `offset` of the writable part on; returns how many bytes found room. */
  write(offset: number, from: Uint8Array): number {
    return this.#each(this.#readable, this.#count, offset, from.byteLength, (address, length, done) =>
      this.#memory.write(address, length === from.byteLength ? from : from.subarray(done, done + length)),
    );
  }

  /** The guest's own bytes of the readable part, for system calls: no copy, and the guest may still change them. */
  readableViews(offset = 0, length = this.readableLength): Uint8Array<SharedArrayBuffer>[] {
    return this.#views(0, this.#readable, offset, length);
  }

  /** The guest's own bytes of the writable part. What was stored in them is told by `wrote()`. */
  writableViews(offset = 0, length = this.writableLength): Uint8Array<SharedArrayBuffer>[] {
    return this.#views(this.#readable, this.#count, offset, length);
  }

  /** Bytes of the writable part were stored through views: dirty tracking learns it here. */
  wrote(offset: number, length: number): void {
    this.#each(this.#readable, this.#count, offset, length, (address, bytes) =>
      this.#memory.markWritten(address, bytes),
    );
  }

  /** Where the writable buffers are in guest memory, one by one: for devices that care for the place, not for what is in it. */
  eachWritable(visit: (address: number, length: number) => void): void {
    this.#each(this.#readable, this.#count, 0, this.writableLength, (address, length) => visit(address, length));
  }

  #views(from: number, to: number, offset: number, length: number): Uint8Array<SharedArrayBuffer>[] {
    const views: Uint8Array<SharedArrayBuffer>[] = [];
    this.#each(from, to, offset, length, (address, bytes) => {
      for (const view of this.#memory.views(address, bytes)) views.push(view);
    });
    return views;
  }

  /** Visits the pieces of [offset, offset + length) in the descriptors [from, to); returns the bytes visited. */
  #each(
    from: number,
    to: number,
    offset: number,
    length: number,
    visit: (address: number, length: number, done: number) => void,
  ): number {
    if (!this.taken)
      throw new HypervisorError('ERR_STATE', 'the chain was put back: its buffers are the driver’s again');
    let skip = offset;
    let done = 0;
    try {
      for (let i = from; i < to && done < length; i++) {
        const size = this.#lengths[i] ?? 0;
        if (skip >= size) {
          skip -= size;
          continue;
        }
        const bytes = Math.min(size - skip, length - done);
        visit((this.#addresses[i] ?? 0) + skip, bytes, done);
        skip = 0;
        done += bytes;
      }
    } catch (error) {
      // It was RAM when the chain was taken: its region has been removed or made read-only since, or the memory disposed.
      if (!isMemoryError(error)) throw error;
      this.#fault(error.message);
    }
    return done;
  }

  #grow(): void {
    const addresses = new Float64Array(this.#addresses.length * 2);
    const lengths = new Float64Array(addresses.length);
    addresses.set(this.#addresses);
    lengths.set(this.#lengths);
    this.#addresses = addresses;
    this.#lengths = lengths;
  }
}
