// The source of writes through the API, by every thread: the mark bytes (shared/span.ts). Threads always set them; only their
// use is turned on and off. Part of every set of sources. Thread: the memory's owner.

import type { DirtySource } from './dirty-source.ts';
import type { OwnedRegion } from './region-list.ts';

export class MarkSource implements DirtySource {
  /** What was marked while nobody tracked is forgotten. */
  start(regions: readonly OwnedRegion[]): void {
    for (const { mapping } of regions) mapping.dropMarks();
  }

  stop(regions: readonly OwnedRegion[]): void {
    this.collect(regions);
  }

  /** A mapping that several regions lie in is taken with the first; its summary says at once that nothing is left. */
  collect(regions: readonly OwnedRegion[]): void {
    for (const { mapping } of regions) mapping.collectMarks();
  }

  admit(): void {}

  /** What is marked stays in the mapping, for when its buffer is added again. */
  dismiss(): void {}

  close(): void {}
}
