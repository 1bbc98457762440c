// What a split and a packed ring have in common: the interface that queues use, descriptors, and checks. Device's thread; pure.
// Source: Virtual I/O Device (VIRTIO) 1.2, sections 2.7 (split) and 2.8 (packed).
//
// Order of accesses. The words by which driver and device hand buffers over (indices, a packed descriptor's flags, event
// suppression) are accessed by Atomics, everything else plainly. On x86 plain loads and stores would stay in order by themselves, but
// for a store before a load; what Atomics add is (1) that V8 moves no other access across them, and (2) the full fence of
// their stores, between publishing a used buffer and reading whether the driver wants an interrupt, and between asking for a
// notification and looking for buffers once more. Without it each side could miss the other's store, and both would sleep.

import type { GuestMemory } from '../guest-memory.ts';
import { u16le, u32le } from '../layout.ts';
import { hex } from '../units.ts';
import { CHAIN_MAX, type Chain, QueueFault } from './chain.ts';

/** Entries of the largest ring that the specification allows, of either kind. */
export const RING_SIZE_MAX = 32_768;
/** Bytes of a descriptor in either ring. */
export const DESCRIPTOR = 16;
export const DESCRIPTOR_NEXT = 1;
export const DESCRIPTOR_WRITE = 2;
export const DESCRIPTOR_INDIRECT = 4;

/** Where a ring lies, as the driver told the transport, and what was negotiated. */
export interface RingOptions {
  readonly memory: GuestMemory;
  readonly size: number;
  /** Guest physical addresses of the three areas: descriptors, the driver's and the device's. */
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
  readonly eventIndex: boolean;
  readonly indirect: boolean;
}

/** A ring. Every method may throw QueueFault, or a memory error where RAM was removed under it. */
export interface Ring {
  /** The next chain that the driver has made available; false when there is none. Bounded work. */
  take(chain: Chain): boolean;
  /** Gives a chain back with the number of bytes that were written to it. */
  put(chain: Chain, written: number): void;
  /** Does the driver want an interrupt for what was put since it was asked last? */
  needsInterrupt(): boolean;
  /** Asks the driver to notify us of the next chain. One may have come before it saw that: take() again. */
  arm(): void;
  /** Tells the driver that it need not: we are looking anyway. */
  disarm(): void;
}

/** Throws QueueFault unless the area lies in RAM, aligned. */
export function checkArea(
  memory: GuestMemory,
  area: { readonly name: string; readonly at: number; readonly bytes: number; readonly align: number },
  write: boolean,
): void {
  const { name, at, bytes, align } = area;
  if (at % align !== 0) throw new QueueFault(`the ${name} at ${hex(at)} are not aligned to ${align} bytes`);
  if (!memory.covers(at, bytes, write))
    throw new QueueFault(`the ${name} at ${hex(at)} (${hex(bytes)} bytes) are not in ${write ? 'writable ' : ''}RAM`);
}

/** A descriptor as it was when it was read: each field once. One object per ring, filled again and again. */
export class Descriptor {
  address = 0;
  length = 0;
  /** Two halves: flags and `next` in a split ring, id and flags in a packed one. */
  tail = 0;

  load(memory: GuestMemory, at: number): void {
    this.address = memory.readObj(at + 4, u32le) * 2 ** 32 + memory.readObj(at, u32le);
    this.length = memory.readObj(at + 8, u32le);
    this.tail = memory.readObj(at + 12, u32le);
  }
}

/** Entries of the indirect table that `descriptor`, with these flags, names. @throws QueueFault */
export function indirectEntries(
  { memory, indirect }: RingOptions,
  { address, length }: Descriptor,
  flags: number,
): number {
  if (!indirect) throw new QueueFault('an indirect descriptor, which was not negotiated');
  if ((flags & DESCRIPTOR_NEXT) !== 0) throw new QueueFault('an indirect descriptor with a next one');
  if (length === 0 || length % DESCRIPTOR !== 0 || length > CHAIN_MAX * DESCRIPTOR)
    throw new QueueFault(`an indirect table of ${hex(length)} bytes`);
  if (!memory.covers(address, length, false)) throw new QueueFault(`the indirect table at ${hex(address)} is not RAM`);
  return length / DESCRIPTOR;
}

/** Has `event` been passed on the way from `before` to `now`? Sixteen-bit counters that wrap around (2.7.10). */
export function passed(event: number, now: number, before: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
}

/** Reads of the words that both sides hand over by. */
export function loadWord(memory: GuestMemory, at: number): number {
  return memory.atomics.load(at, u16le);
}

export function storeWord(memory: GuestMemory, at: number, value: number): void {
  memory.atomics.store(at, u16le, value);
}
