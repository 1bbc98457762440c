// Gives pages of guest memory back to the host. Any thread that has the memory attached. Only pages of the library's own memory that can
// be taken one by one (see RegionDescriptor.reclaim): what else a guest names stays as it is, which a balloon's guest cannot tell.

import { native } from '../../native/index.ts';
import { isHypervisorError } from '../../shared/errors.ts';
import type { GuestMemory } from '../../shared/guest-memory.ts';
import type { PageRange } from '../../shared/virtio/balloon.ts';

/**
 * The pages of `ranges`, writable RAM, read as zeroes from now on and hold no memory until they are written; dirty tracking has them as
 * written. Returns the bytes that were given back.
 */
export function giveBack(memory: GuestMemory, ranges: readonly PageRange[]): number {
  let bytes = 0;
  for (const range of ranges) {
    try {
      bytes += giveRangeBack(memory, range);
    } catch (error) {
      // Its region has been removed since the guest was checked, or the kernel keeps locked pages: they stay.
      if (!isHypervisorError(error)) throw error;
    }
  }
  return bytes;
}

function giveRangeBack(memory: GuestMemory, { start, length }: PageRange): number {
  let bytes = 0;
  for (const { start: first, end, region } of memory.spans(start, length)) {
    if (region.reclaim === undefined) continue;
    const from = Math.max(start, first);
    const count = Math.min(start + length, end) - from;
    native().discard(region.buffer, region.offset + (from - region.guestAddr), count, region.reclaim === 'memfd');
    memory.markWritten(from, count);
    bytes += count;
  }
  return bytes;
}
