// The owner's list of regions: which mapping each lies in, and how `setReadOnly` splits and merges them. Pure functions over
// immutable records; any thread that owns memory. Must not touch KVM: slots.ts makes the kernel follow.

import { HypervisorError } from '../../../shared/errors.ts';
import type { AddressRange, RegionDescriptor, WatchDescriptor } from '../../../shared/memory-layout.ts';
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
  /** Writes to it are watched: a VirtualMachine's guest gets its slot read-only, and has its writes carried out by the vCPU's thread. */
  readonly watched: boolean;
  readonly slot: number | undefined;
  /** The same object in all pieces of what was added as one region. */
  readonly origin: object;
}

export function endOf(region: { readonly guestAddr: number; readonly size: number }): number {
  return region.guestAddr + region.size;
}

export function hostAddrOf(region: OwnedRegion): bigint {
  return region.mapping.hostAddr + BigInt(region.offset);
}

export function describe(region: OwnedRegion, watch?: WatchDescriptor): RegionDescriptor {
  const { guestAddr, size, offset, readOnly, slot, mapping } = region;
  const { buffer, marks, summary, wasm, reclaim } = mapping;
  return {
    ...{ guestAddr, size, hostAddr: hostAddrOf(region), readOnly, slot, buffer, offset, marks, summary },
    ...(wasm === undefined ? {} : { wasm }),
    ...(reclaim === undefined ? {} : { reclaim }),
    ...(region.slotReadOnly ? { guestReadOnly: true } : {}),
    ...(watch === undefined ? {} : { watch }),
  };
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
  const isChanged = (region: OwnedRegion): boolean => region.readOnly !== readOnly;
  const pieces = regions.flatMap(region =>
    isChanged(region) ? cut(region, [{ start, end }], part => ({ ...part, readOnly })) : [region],
  );
  return joinPieces(regions, pieces, slotLimit);
}

/** The list (ascending) with exactly the pages of `ranges` (ascending, not touching each other) watched; cut and joined likewise. */
export function withWatched(
  regions: readonly OwnedRegion[],
  ranges: readonly AddressRange[],
  slotLimit: number,
): OwnedRegion[] {
  const pieces = regions.flatMap(region => {
    const plain = { ...region, watched: false };
    const parts = cut(plain, ranges, part => ({ ...part, watched: true }));
    // As it was: the same object.
    return parts.length === 1 && parts[0]?.watched === region.watched ? [region] : parts;
  });
  return joinPieces(regions, pieces, slotLimit);
}

/** `first` and the pieces after it that are regions of their own only because some of their pages are watched. */
export function withoutWatches(regions: readonly OwnedRegion[], first: OwnedRegion): OwnedRegion[] {
  const pieces = [first];
  for (const next of regions.slice(regions.indexOf(first) + 1)) {
    const last = pieces.at(-1) ?? first;
    if (!joins({ ...last, watched: false }, { ...next, watched: false })) break;
    pieces.push(next);
  }
  // Two neighbours that are both unwatched were cut by something else.
  const end = pieces.findIndex((piece, index) => index > 0 && piece.watched === pieces[index - 1]?.watched);
  return end < 0 ? pieces : pieces.slice(0, end);
}

function joinPieces(regions: readonly OwnedRegion[], pieces: readonly OwnedRegion[], slotLimit: number): OwnedRegion[] {
  const joined: OwnedRegion[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (last !== undefined && joins(last, piece) && !(regions.includes(last) && regions.includes(piece))) {
      joined[joined.length - 1] = { ...last, size: last.size + piece.size, slot: last.slot };
    } else joined.push(piece);
  }
  return assignSlots(joined, new Set(regions), slotLimit);
}

/** The region, cut at the borders of `ranges` (ascending, apart); the parts within are changed. */
function cut(
  region: OwnedRegion,
  ranges: readonly AddressRange[],
  change: (part: OwnedRegion) => OwnedRegion,
): OwnedRegion[] {
  const parts: OwnedRegion[] = [];
  const part = (at: number, limit: number): OwnedRegion => {
    if (at === region.guestAddr && limit === endOf(region)) return region;
    return { ...region, guestAddr: at, size: limit - at, offset: region.offset + (at - region.guestAddr) };
  };
  let at = region.guestAddr;
  for (const range of ranges) {
    const from = Math.max(at, range.start);
    const to = Math.min(endOf(region), range.end);
    if (from >= to) continue;
    if (at < from) parts.push(part(at, from));
    parts.push(change(part(from, to)));
    at = to;
  }
  if (at < endOf(region)) parts.push(part(at, endOf(region)));
  return parts;
}

function joins(a: OwnedRegion, b: OwnedRegion): boolean {
  return (
    a.origin === b.origin &&
    endOf(a) === b.guestAddr &&
    a.offset + a.size === b.offset &&
    a.readOnly === b.readOnly &&
    a.slotReadOnly === b.slotReadOnly &&
    a.watched === b.watched &&
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
