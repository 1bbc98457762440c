// The owner's list of regions: which mapping each lies in, and how `setReadOnly` splits and merges them. Pure functions over
// immutable records; any thread that owns memory. Must not touch KVM: slots.ts makes the kernel follow.

import { HypervisorError } from '../../../shared/errors.ts';
import type { RegionDescriptor } from '../../../shared/memory-layout.ts';
import { hex } from '../../../shared/units.ts';
import type { Mapping } from './mapping.ts';

/** A region as its owner sees it. Changed by replacing it. */
export interface OwnedRegion {
  readonly guestAddr: number;
  readonly size: number;
  /** Byte offset in the mapping. */
  readonly offset: number;
  readonly mapping: Mapping;
  readonly readOnly: boolean;
  /** Its slot is read-only although the region is not (`registerSlot` with KVM_MEM_READONLY). */
  readonly slotReadOnly: boolean;
  readonly slot: number | undefined;
}

export function endOf(region: { readonly guestAddr: number; readonly size: number }): number {
  return region.guestAddr + region.size;
}

export function hostAddrOf(region: OwnedRegion): bigint {
  return region.mapping.hostAddr + BigInt(region.offset);
}

export function describe(region: OwnedRegion): RegionDescriptor {
  const { guestAddr, size, offset, readOnly, slot, mapping } = region;
  const { buffer, marks, summary, wasm } = mapping;
  const base = { guestAddr, size, hostAddr: hostAddrOf(region), readOnly, slot, buffer, offset, marks, summary };
  return wasm === undefined ? base : { ...base, wasm };
}

/** `[0x…, 0x…)` */
export function placeText(region: { readonly guestAddr: number; readonly size: number }): string {
  return `[${hex(region.guestAddr)}, ${hex(endOf(region))})`;
}

/** The lowest slot ids that are not in `used`; adds them to it. @throws `ERR_TOO_MANY_SLOTS` */
export function freeSlot(used: Set<number>, limit: number): number {
  let slot = 0;
  while (used.has(slot)) slot += 1;
  if (slot >= limit)
    throw new HypervisorError('ERR_TOO_MANY_SLOTS', `this KVM has ${limit} memory slots, all are in use`);
  used.add(slot);
  return slot;
}

/**
 * The list (ascending) with [start, end) made read-only or writable: regions are cut at the ends of the range, and neighbours that
 * came to be alike in one mapping are joined. Untouched regions are the same objects; slot ids are kept where possible.
 */
export function withReadOnly(
  regions: readonly OwnedRegion[],
  start: number,
  end: number,
  readOnly: boolean,
  slotLimit: number,
): OwnedRegion[] {
  const pieces = regions.flatMap(region => cut(region, start, end, readOnly));
  const joined: OwnedRegion[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    // Two regions that the caller made stay two: only what this call changed is joined.
    if (last !== undefined && joins(last, piece) && !(regions.includes(last) && regions.includes(piece))) {
      joined[joined.length - 1] = { ...last, size: last.size + piece.size, slot: last.slot };
    } else joined.push(piece);
  }
  return assignSlots(joined, new Set(regions), slotLimit);
}

function cut(region: OwnedRegion, start: number, end: number, readOnly: boolean): OwnedRegion[] {
  const from = Math.max(region.guestAddr, start);
  const to = Math.min(endOf(region), end);
  if (from >= to || region.readOnly === readOnly) return [region];
  const part = (at: number, limit: number, changed: boolean): OwnedRegion[] => {
    if (at >= limit) return [];
    const offset = region.offset + (at - region.guestAddr);
    return [{ ...region, guestAddr: at, size: limit - at, offset, readOnly: changed ? readOnly : region.readOnly }];
  };
  return [...part(region.guestAddr, from, false), ...part(from, to, true), ...part(to, endOf(region), false)];
}

function joins(a: OwnedRegion, b: OwnedRegion): boolean {
  return (
    a.mapping === b.mapping &&
    endOf(a) === b.guestAddr &&
    a.offset + a.size === b.offset &&
    a.readOnly === b.readOnly &&
    a.slotReadOnly === b.slotReadOnly &&
    (a.slot === undefined) === (b.slot === undefined)
  );
}

/** Pieces of one region all carry its id: the first keeps it, the others get free ones. */
function assignSlots(
  regions: readonly OwnedRegion[],
  unchanged: ReadonlySet<OwnedRegion>,
  limit: number,
): OwnedRegion[] {
  const used = new Set<number>();
  for (const region of regions) if (unchanged.has(region) && region.slot !== undefined) used.add(region.slot);
  const keeps = new Set<OwnedRegion>();
  for (const region of regions) {
    if (unchanged.has(region) || region.slot === undefined || used.has(region.slot)) continue;
    used.add(region.slot);
    keeps.add(region);
  }
  return regions.map(region => {
    if (region.slot === undefined || unchanged.has(region) || keeps.has(region)) return region;
    return { ...region, slot: freeSlot(used, limit) };
  });
}
