// What a source of dirty pages is: something that records which pages were written. Implementations: slots.ts (KVM's log and
// KVM's rings), pagemap-source.ts (the kernel's write tracking), mark-source.ts (writes through the API). Thread: the memory's owner.

import type { OwnedRegion } from './region-list.ts';

/** Names that users choose by. 'host' is the API's writes alone; each of the others includes them. */
export type DirtySourceName = 'bitmap' | 'ring' | 'pagemap' | 'host';

/**
 * Moves what it recorded into `mapping.fresh` (and, where attribution is on, `mapping.writers`), says so with `mapping.noteFresh()`, and
 * the tracker hands it to every cursor. All methods are synchronous. A page is reported by the first collect() that begins after the
 * write, and its contents are to be read after that collect() returned: whatever is written later is recorded again.
 */
export interface DirtySource {
  /** Starts recording for all regions, or throws and records for none. */
  start(regions: readonly OwnedRegion[]): void;
  /** Moves what was recorded into *fresh*, then stops; or throws and goes on recording. */
  stop(regions: readonly OwnedRegion[]): void;
  /** Moves what was recorded since the last call into *fresh*. May throw halfway, but loses nothing: the next call has it. */
  collect(regions: readonly OwnedRegion[]): void;

  // Only regions that bring or take memory are announced: splits, merges and changes of slots leave what is recorded as it is.

  /** While it records: `region` is about to be added. Records for it from here on, or throws and nothing has changed. */
  admit(region: OwnedRegion): void;
  /** While it records: `region` was removed (or was admitted, and could not be added after all). Must not throw. `left`: the regions that stay. */
  dismiss(region: OwnedRegion, left: readonly OwnedRegion[]): void;
  /** It is no longer in use, recording or not: descriptors are closed. Idempotent, must not throw. */
  close(): void;
}
