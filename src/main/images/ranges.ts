// Ranges of guest physical addresses, and the questions that every loader asks about them: is it RAM, does it collide.
// Main thread; reads the region table only, writes nothing.

import { HypervisorError } from '../../../shared/errors.ts';
import { hex } from '../../../shared/units.ts';

/** Guest physical addresses [start, end), bytes. `what` names the range in messages. */
export interface GuestRange {
  readonly start: number;
  readonly end: number;
  readonly what: string;
}

/** The part of a region that placement depends on. */
export interface RamRegion {
  readonly guestAddr: number;
  readonly size: number;
  readonly readOnly: boolean;
}

/** `what [0xstart, 0xend)`. */
export function describeRange(range: GuestRange): string {
  return `${range.what} [${hex(range.start)}, ${hex(range.end)})`;
}

/** The regions in ascending order, whatever order the table had. */
export function ascending<Region extends RamRegion>(regions: readonly Region[]): Region[] {
  return [...regions].sort((a, b) => a.guestAddr - b.guestAddr);
}

/**
 * Checks that every byte of `range` is writable guest RAM; adjacent regions count as one.
 * @throws HypervisorError `ERR_IMAGE_RANGE` with the range and the first address that is not.
 */
export function requireWritable(regions: readonly RamRegion[], range: GuestRange): void {
  let next = range.start;
  for (const region of ascending(regions)) {
    const end = region.guestAddr + region.size;
    if (region.readOnly || region.guestAddr > next || end <= next) continue;
    next = end;
    if (next >= range.end) return;
  }
  const shown = ascending(regions).map(
    region =>
      `[${hex(region.guestAddr)}, ${hex(region.guestAddr + region.size)})${region.readOnly ? ' read-only' : ''}`,
  );
  throw new HypervisorError(
    'ERR_IMAGE_RANGE',
    `${describeRange(range)} is not writable guest RAM from ${hex(next)} on; regions: ${shown.join(', ') || 'none'}`,
    { info: { start: range.start, end: range.end, firstMissing: next } },
  );
}

/**
 * Checks that two ranges have no byte in common.
 * @throws HypervisorError `ERR_IMAGE_RANGE` with both ranges.
 */
export function requireDisjoint(a: GuestRange, b: GuestRange): void {
  if (a.start >= b.end || b.start >= a.end) return;
  throw new HypervisorError('ERR_IMAGE_RANGE', `${describeRange(a)} overlaps ${describeRange(b)}`, {
    info: { first: { start: a.start, end: a.end }, second: { start: b.start, end: b.end } },
  });
}
