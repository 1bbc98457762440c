// A source of dirty pages that a test writes to and breaks, and mappings that need no memory of a guest. For tests of the tracker.

import type { DirtySource } from '../src/main/memory/dirty-source.ts';
import { Mapping } from '../src/main/memory/mapping.ts';
import type { OwnedRegion } from '../src/main/memory/region-list.ts';

export const PAGE = 4096;

type Step = 'start' | 'stop' | 'collect' | 'admit';

/** Keeps what it recorded per mapping, as page numbers, until it is collected. */
export class FakeSource implements DirtySource {
  /** What was called, in order. */
  readonly calls: string[] = [];
  /** The step that fails next; 'collect' and 'stop' fail after `afterMappings` mappings. */
  fails: Step | undefined;
  afterMappings = 0;
  recording = false;
  closed = false;
  readonly #written = new Map<Mapping, Set<number>>();

  write(mapping: Mapping, page: number): void {
    if (!this.recording) return;
    const pages = this.#written.get(mapping) ?? new Set();
    this.#written.set(mapping, pages.add(page));
  }

  start(): void {
    this.#step('start');
    this.recording = true;
  }

  stop(regions: readonly OwnedRegion[]): void {
    this.calls.push('stop');
    this.#move(regions, this.fails === 'stop');
    this.recording = false;
  }

  collect(regions: readonly OwnedRegion[]): void {
    this.calls.push('collect');
    this.#move(regions, this.fails === 'collect');
  }

  admit(): void {
    this.#step('admit');
  }

  dismiss(): void {
    this.calls.push('dismiss');
  }

  close(): void {
    this.calls.push('close');
    this.closed = true;
  }

  #step(step: Step): void {
    this.calls.push(step);
    if (this.fails === step) this.#fail(step);
  }

  #fail(step: Step): never {
    this.fails = undefined;
    throw new Error(`${step} was made to fail`);
  }

  #move(regions: readonly OwnedRegion[], fails: boolean): void {
    let moved = 0;
    for (const mapping of new Set(regions.map(region => region.mapping))) {
      if (fails && moved === this.afterMappings) this.#fail(this.fails as Step);
      moved += 1;
      for (const page of this.#written.get(mapping) ?? []) {
        mapping.fresh.addRange(page, 1);
        mapping.noteFresh(1);
      }
      this.#written.delete(mapping);
    }
    if (fails) this.#fail(this.fails as Step);
  }
}

export function fakeMapping(pages: number): Mapping {
  return new Mapping(new SharedArrayBuffer(pages * PAGE), 0x10_0000n);
}

/** A region of `mapping`, by page numbers. */
export function regionOf(mapping: Mapping, at: number, first = 0, count = mapping.pages): OwnedRegion {
  const place = { guestAddr: at * PAGE, size: count * PAGE, offset: first * PAGE };
  return {
    ...place,
    mapping,
    origin: mapping,
    readOnly: false,
    slotReadOnly: false,
    watched: false,
    slot: undefined,
  };
}
