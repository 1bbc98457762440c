// Which sources of dirty pages work here, and whose writes each of them reports: found by writing pages, from the host and from a guest,
// and looking. Any thread; blocks for some milliseconds, never throws, leaves nothing behind. It runs the sources themselves over a
// mapping of its own, below KvmMemory, which asks here what to take.

import { assertNever, messageOf } from '../../../shared/errors.ts';
import { u8 } from '../../../shared/layout.ts';
import { Span } from '../../../shared/span.ts';
import { PAGE_SIZE } from '../../../shared/units.ts';
import { type Availability, kvmKind } from '../host-facts.ts';
import { chooseEngine, kvmDevice } from '../vm/engine.ts';
import type { DirtySource, DirtySourceName } from './dirty-source.ts';
import { createMapping } from './mapping.ts';
import { MarkSource } from './mark-source.ts';
import { planMapping } from './options.ts';
import { PagemapSource } from './pagemap-source.ts';
import { ProbeGuest } from './probe-guest.ts';
import { describe, type OwnedRegion } from './region-list.ts';
import { Slots } from './slots.ts';

/** Whose writes a source reports. null: not tried, because there is no guest here or the source cannot be had. */
export interface SeenWriters {
  /** A guest's stores. */
  readonly guest: boolean | null;
  /** Writes through this library's API, on any thread. */
  readonly api: boolean | null;
  /** Stores that go past the API: raw views, WebAssembly, system calls that write into guest RAM. */
  readonly rawHost: boolean | null;
}

/** A source: whether it can be had, why or why not, and whose writes it was seen to report. */
export interface DirtySourceReport extends Availability {
  readonly seen: SeenWriters;
}

/** The order in which 'auto' takes what works; rings are chosen when a VM is made. */
export const AUTO_ORDER = ['pagemap', 'bitmap', 'host'] as const;

type WriterKind = keyof SeenWriters;

/** What a source is there for: one that misses any of these is not offered. */
const MUST_SEE: Readonly<Record<DirtySourceName, readonly WriterKind[]>> = {
  pagemap: ['guest', 'api', 'rawHost'],
  bitmap: ['guest', 'api'],
  ring: ['guest', 'api'],
  host: ['api'],
};
const WRITER_TEXT: Readonly<Record<WriterKind, string>> = { guest: 'a guest', api: 'the API', rawHost: 'a raw view' };
const UNTRIED: SeenWriters = { guest: null, api: null, rawHost: null };

/** The page that each kind of writer writes; far enough apart that none is reported for its neighbour's sake. */
const PAGE_OF: Readonly<Record<WriterKind, number>> = { guest: 1, api: 3, rawHost: 5 };
const PAGES = 7;

/** Any mark will do. */
const WRITER = 1;

/** The smallest ring that every KVM allows: Intel's keeps 576 entries back. */
const RING_ENTRIES = 1024;
/** Twice the ring, so that it is full several times a round; no multiple of 64. */
const RING_PAGES = 2 * RING_ENTRIES + 7;
/** A kernel that loses entries does so after a ring was full, and not every time. */
const RING_ROUNDS_MIN = 3;
const RING_ROUNDS_MAX = 24;
const RING_TIME_MAX_MS = 40;

const reports = new Map<string, DirtySourceReport>();

/** What is known of one source. Probed by the first call per thread and KVM device: some milliseconds, tens of them for 'ring'. */
export function probeDirtySource(name: DirtySourceName): DirtySourceReport {
  const device = kvmDevice();
  const key = `${name} ${device}`;
  let report = reports.get(key);
  if (report === undefined) {
    report = probeAnew(name, device);
    reports.set(key, report);
  }
  return report;
}

/**
 * For each source of dirty pages whether it works here, why or why not, and whose writes it was seen to report: pages are written through
 * the API, through a raw view and by a small guest. Done once per thread and KVM device; blocks for some milliseconds, some tens of
 * them where there are dirty rings to fill. Never throws.
 */
export function probeDirtySources(): Record<DirtySourceName, DirtySourceReport> {
  return {
    pagemap: probeDirtySource('pagemap'),
    bitmap: probeDirtySource('bitmap'),
    ring: probeDirtySource('ring'),
    host: probeDirtySource('host'),
  };
}

function probeAnew(name: DirtySourceName, device: string): DirtySourceReport {
  if (name === 'ring' && kvmKind() === 'pvm') {
    return refused('KVM of the kind PVM (kvm_pvm) loses pages once a ring was full');
  }
  const needsGuest = name === 'bitmap' || name === 'ring';
  let guest: ProbeGuest | undefined;
  try {
    if (name !== 'host') {
      const made = makeGuest(device, name === 'ring' ? RING_ENTRIES : undefined);
      if (typeof made !== 'string') guest = made;
      else if (needsGuest) return refused(made);
    }
    return probeWith(name, guest);
  } catch (error) {
    return refused(messageOf(error));
  } finally {
    guest?.close();
  }
}

/** A guest, or why there is none. */
function makeGuest(device: string, ringEntries: number | undefined): ProbeGuest | string {
  try {
    chooseEngine('kvm');
    return new ProbeGuest(device, ringEntries);
  } catch (error) {
    return `needs KVM: ${messageOf(error)}`;
  }
}

function probeWith(name: DirtySourceName, guest: ProbeGuest | undefined): DirtySourceReport {
  const bench = new Bench(name, name === 'ring' ? RING_PAGES : PAGES, guest);
  try {
    // Twice: a page must be recorded again after it was reported.
    const first = bench.tryWriters();
    const second = bench.tryWriters();
    const seen = {
      guest: both(first, second, 'guest'),
      api: both(first, second, 'api'),
      rawHost: both(first, second, 'rawHost'),
    };
    const missed = MUST_SEE[name].filter(writer => seen[writer] === false).map(writer => WRITER_TEXT[writer]);
    if (missed.length > 0)
      return { available: false, reason: `it did not report what ${missed.join(' and ')} wrote`, seen };
    const lost = name === 'ring' && guest !== undefined ? bench.pagesLostByRings(guest) : 0;
    if (lost > 0)
      return { available: false, reason: `after a ring was full, ${lost} written pages were not reported`, seen };
    return { available: true, reason: reasonFor(name), seen };
  } finally {
    bench.close();
  }
}

function both(first: SeenWriters, second: SeenWriters, writer: WriterKind): boolean | null {
  return first[writer] === null ? null : first[writer] === true && second[writer] === true;
}

function reasonFor(name: DirtySourceName): string {
  switch (name) {
    case 'pagemap':
      return "the kernel's write tracking (userfaultfd, PAGEMAP_SCAN)";
    case 'bitmap':
      return "KVM's dirty log, and the marks of the API";
    case 'ring':
      return "KVM's dirty rings, and the marks of the API";
    case 'host':
      return 'the marks of the API';
    default:
      return assertNever(name);
  }
}

function refused(reason: string): DirtySourceReport {
  return { available: false, reason, seen: UNTRIED };
}

/** Memory of its own with a set of sources over it, recording. */
class Bench {
  readonly #guest: ProbeGuest | undefined;
  readonly #region: OwnedRegion;
  readonly #span: Span;
  readonly #slots = new Slots(() => {});
  readonly #sources: readonly DirtySource[];

  constructor(name: DirtySourceName, pages: number, guest: ProbeGuest | undefined) {
    const size = pages * PAGE_SIZE;
    const mapping = createMapping(planMapping({}, size), size, 'node-kvm:probe');
    const place = { guestAddr: 0, size, offset: 0, mapping, origin: mapping };
    this.#guest = guest;
    this.#region = { ...place, readOnly: false, slotReadOnly: false, slot: 0, watched: false };
    this.#span = new Span(describe(this.#region), 0, size, WRITER);
    const recorder = { pagemap: new PagemapSource(), bitmap: this.#slots, ring: this.#slots, host: undefined }[name];
    this.#sources = recorder === undefined ? [new MarkSource()] : [recorder, new MarkSource()];
    try {
      if (guest !== undefined) {
        const attachment = { vm: guest.vm, owned: false, quiescer: undefined, ring: name === 'ring', vcpus: 1 };
        this.#slots.attach(attachment, [this.#region], () => {});
      }
      for (const source of this.#sources) source.start([this.#region]);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Each writer writes its page; which of them are reported? */
  tryWriters(): SeenWriters {
    const place = (writer: WriterKind) => PAGE_OF[writer] * PAGE_SIZE;
    this.#span.store(place('api'), u8, 1);
    this.#span.bytes[place('rawHost')] = 1;
    this.#guest?.write({ at: place('guest'), stride: PAGE_SIZE, count: 1, value: 1 });
    const { fresh } = this.#collect();
    const seen = {
      guest: this.#guest === undefined ? null : fresh.has(PAGE_OF.guest),
      api: fresh.has(PAGE_OF.api),
      rawHost: fresh.has(PAGE_OF.rawHost),
    };
    fresh.clear();
    return seen;
  }

  /** The guest writes more pages than a ring holds, other ones each round; how many were not reported? */
  pagesLostByRings(guest: ProbeGuest): number {
    const limit = performance.now() + RING_TIME_MAX_MS;
    let lost = 0;
    for (let round = 0; round < RING_ROUNDS_MAX && lost === 0; round++) {
      if (round >= RING_ROUNDS_MIN && performance.now() > limit) break;
      const stride = 1 + (round % 3);
      const first = (round * 13) % 64;
      const count = Math.floor((RING_PAGES - first - 1) / stride) + 1;
      guest.write({ at: first * PAGE_SIZE, stride: stride * PAGE_SIZE, count, value: round });
      const mapping = this.#collect();
      for (let page = first; page < RING_PAGES; page += stride) if (!mapping.fresh.has(page)) lost += 1;
      mapping.fresh.clear();
    }
    return lost;
  }

  #collect(): OwnedRegion['mapping'] {
    for (const source of this.#sources) source.collect([this.#region]);
    return this.#region.mapping;
  }

  close(): void {
    for (const source of this.#sources) source.close();
    this.#slots.drop();
    this.#region.mapping.letGo();
  }
}
