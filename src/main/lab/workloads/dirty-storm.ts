// Dirty storm: what the kernel's dirty_log_perf_test does, by its axes (vCPUs, bytes, share of writes, overlap, slots), with each source of dirty
// pages: all vCPUs touch all pages, then the pages are harvested, over and over. Main thread.

import { native } from '../../../../native/index.ts';
import { STORM_DATA } from '../../../../shared/lab/storm.ts';
import { u32le } from '../../../../shared/layout.ts';
import { SUMMARY_SHIFT } from '../../../../shared/span.ts';
import { GIB, MIB, PAGE_SIZE } from '../../../../shared/units.ts';
import { probeDirtySource } from '../../memory/dirty-probe.ts';
import type { DirtyTrackingOptions } from '../../memory/dirty-selection.ts';
import { KvmMemory } from '../../memory/kvm-memory.ts';
import { guestCounts, requireResult } from '../machines/guest-mixes.ts';
import { StormMachine } from '../machines/storm-machine.ts';
import { TimeSeries } from '../machines/time-series.ts';
import { peerOpener } from '../peers/peer.ts';
import { DIRTY_LOG_TEST, findSelftest, openDirtyLogTest } from '../peers/selftests.ts';
import type { LabContext, OpenVariant, Variant, Workload } from '../workload.ts';

const SIZE_MIN = MIB;
const SIZE_MAX = 64 * GIB;
const RING_ENTRIES = 65_536;

type StormSource = 'bitmap' | 'manual' | 'ring' | 'pagemap' | 'host';

const TRACKING: Record<StormSource, DirtyTrackingOptions> = {
  bitmap: { source: 'bitmap', log: 'plain' },
  manual: { source: 'bitmap', log: 'manual' },
  ring: { source: 'ring', ringEntries: RING_ENTRIES },
  pagemap: { source: 'pagemap' },
  host: { source: 'host' },
};

/** One point of the test's axes. */
interface StormCase {
  readonly source: StormSource;
  readonly vcpus: number;
  /** Of all data. Without overlap each vCPU has its part. */
  readonly bytes: number;
  /** Percent of the accesses that are stores. */
  readonly writes: number;
  readonly overlap: boolean;
  readonly slots: number;
}

export const dirtyStorm: Workload = {
  suite: 'dirty',
  name: 'storm',
  title:
    "the kernel's dirty_log_perf_test: pages written and harvested per second, by source, vCPUs, size, writes, overlap, slots",
  model:
    'Every vCPU touches each page of its part (or, with overlap, of all) once, then one harvest finds the written pages and clears them; the figure is pages ' +
    'written per second of both together. The first store to a page after a harvest faults (or is logged by the processor), and that fault is most of the time: ' +
    "it grows with pages written, not with bytes. With 'pagemap' a page that is only read faults as well: protecting a page takes it out of KVM's own tables. The source 'host' has no guest: " +
    'one JavaScript thread writes through the API, in the baseline a loop of C that marks pages in the same way. The baseline of the others makes the same ioctls for the same guest in C. Latencies are those of single harvests. It does not say how fast a guest is that rests between its writes.',
  kinds: ['guest', 'js'],
  variants: context => fitting(context, cases(context)).map(each => stormVariant(context, each)),
};

/** What all variants may take together, being open at the same time: a part of the memory that is free. */
const FREE_SHARE = 0.5;

/** Those that fit into the free memory, in their order; the others are skipped. */
function fitting(context: LabContext, all: readonly StormCase[]): StormCase[] {
  let left = process.availableMemory() * FREE_SHARE;
  return all.filter(({ source, vcpus, bytes }) => {
    // The variant's and its baseline's.
    if (2 * bytes <= left) {
      left -= 2 * bytes;
      return true;
    }
    context.skip(
      `dirty/storm, ${source}, ${vcpus} vCPUs, ${bytes} bytes`,
      'not enough free memory for all variants at once',
    );
    return false;
  });
}

/** The sources that work here, with the axes varied one at a time (not in quick runs) from all writes, no overlap, one slot. */
function cases(context: LabContext): StormCase[] {
  const { scenario } = context;
  const sizes = scenario.sizes.filter(bytes => bytes >= SIZE_MIN && bytes <= SIZE_MAX);
  const largest = Math.max(...sizes);
  if (sizes.length === 0) {
    context.skip('dirty/storm', 'no size from 1M to 64G in the scenario');
    return [];
  }
  const result: StormCase[] = [];
  for (const source of scenario.sources) {
    const { available, reason } = probeDirtySource(source);
    if (!available) {
      context.skip(`dirty/storm, source ${source}`, reason);
      continue;
    }
    const plain = { source, vcpus: 0, writes: 100, overlap: false, slots: 1 };
    if (source === 'host') {
      result.push(...sizes.map(bytes => ({ ...plain, bytes })));
      continue;
    }
    if (!context.hasKvm) context.skip(`dirty/storm, source ${source}`, 'its writers are guests, and those need KVM');
    const counts = context.hasKvm ? guestCounts(scenario) : [];
    const most = Math.max(...counts);
    for (const vcpus of counts) result.push(...sizes.map(bytes => ({ ...plain, vcpus, bytes })));
    // The axes are what takes the time.
    if (counts.length === 0 || scenario.quick) continue;
    const full = { ...plain, vcpus: most, bytes: largest };
    result.push({ ...full, writes: 10 }, { ...full, slots: 64 });
    if (most > 1) result.push({ ...full, overlap: true });
    if (source === 'bitmap') result.push({ ...full, source: 'manual' });
  }
  return result;
}

function stormVariant(context: LabContext, each: StormCase): Variant {
  const { source, vcpus, bytes, writes, overlap, slots } = each;
  return {
    suite: 'dirty',
    workload: 'storm',
    actors: source === 'host' ? 'js:1' : `guest:${vcpus}`,
    count: Math.max(1, vcpus),
    parameters: { source, bytes, 'writes %': writes, overlap: overlap ? 'yes' : 'no', slots },
    unit: 'pages/s',
    better: 'higher',
    fixedScale: true,
    openBaseline: () => (source === 'host' ? openBareHost(bytes) : openBare(context, each)),
    peers: peersOf(context, each),
    open: () => (source === 'host' ? openHost(bytes) : openStorm(context, each)),
  };
}

/** KVM's log, which the kernel's test uses as well. */
const isLog = ({ source }: StormCase) => source === 'bitmap' || source === 'manual';

/** The kernel's own test, with KVM's log, where somebody has built it. */
function peersOf(context: LabContext, each: StormCase): NonNullable<Variant['peers']> {
  if (!context.scenario.peers || !isLog(each)) return {};
  const test = findSelftest(DIRTY_LOG_TEST);
  if (!test.found) {
    context.skip(`peer ${DIRTY_LOG_TEST}`, test.reason);
    return {};
  }
  const { pages } = layout(each);
  const open = () =>
    openDirtyLogTest(test.file, { ...each, bytes: pages * PAGE_SIZE, manual: each.source === 'manual' });
  return { [DIRTY_LOG_TEST]: peerOpener(context, DIRTY_LOG_TEST, open) };
}

/** Pages of each vCPU and of all data. A guest wraps its page numbers by a mask: parts are powers of two. */
function layout({ bytes, vcpus, overlap }: StormCase): { readonly part: number; readonly pages: number } {
  const part = 2 ** Math.floor(Math.log2(bytes / PAGE_SIZE / (overlap ? 1 : vcpus)));
  return { part, pages: overlap ? part : part * vcpus };
}

/** A round of writes, and the pages that at least and at most were written by it. */
interface Round {
  readonly ns: number;
  readonly stores: number;
  readonly pagesMin: number;
  readonly pagesMax: number;
}

/** What a harvest found, and how long it took: nanoseconds. */
interface Found {
  readonly pages: number;
  readonly ns: number;
}

/** Rounds of writes and a harvest each. */
class Storm {
  readonly #take: () => Found;
  readonly #rate = new TimeSeries('dirty rate', 'pages/s');
  readonly #harvest = new TimeSeries('harvest', 'ms');
  lastNs = 0;

  constructor(take: () => Found) {
    this.#take = take;
  }

  get series() {
    return [this.#rate.series, this.#harvest.series];
  }

  /** @throws `ERR_LAB_RESULT` when the harvest has fewer pages than were written, or more than there are */
  async repeat(write: () => Promise<Round> | Round) {
    const { ns, stores, pagesMin, pagesMax } = await write();
    const found = this.#take();
    requireResult(
      found.pages >= pagesMin && found.pages <= pagesMax,
      () => `a harvest found ${found.pages} pages where ${pagesMin} to ${pagesMax} were written`,
    );
    this.lastNs = ns + found.ns;
    const value = (stores / this.lastNs) * 1e9;
    this.#rate.add(value);
    this.#harvest.add(found.ns / 1e6);
    return { value, latenciesNs: [found.ns] };
  }
}

/** The library's harvest; counting its pages is not timed. */
function takeHarvest(memory: KvmMemory): Found {
  let start = process.hrtime.bigint();
  const harvest = memory.harvest();
  const pairs = harvest.rangeArray();
  let ns = Number(process.hrtime.bigint() - start);
  const pages = dataPages(pairs);
  start = process.hrtime.bigint();
  harvest.commit();
  ns += Number(process.hrtime.bigint() - start);
  return { pages, ns };
}

/** Pages in pairs of address and size; the guest's code and orders lie below the data. */
function dataPages(pairs: Float64Array): number {
  let bytes = 0;
  for (let index = 0; index < pairs.length; index += 2) {
    if ((pairs[index] ?? 0) >= STORM_DATA) bytes += pairs[index + 1] ?? 0;
  }
  return bytes / PAGE_SIZE;
}

async function openStorm(context: LabContext, each: StormCase): Promise<OpenVariant> {
  const { source, vcpus, slots } = each;
  const { pages } = layout(each);
  const machine = await StormMachine.open({
    vcpus,
    cpus: context.cpus,
    data: { bytes: pages * PAGE_SIZE, slots: Math.min(slots, pages) },
    // The ring is chosen with the VM.
    ...(source === 'ring' ? { tracking: TRACKING.ring } : {}),
  });
  const { memory } = machine;
  const start = () => {
    if (source !== 'ring') memory.enableDirtyTracking(TRACKING[source]);
    memory.harvest().commit();
  };
  return openOn(machine, context, each, start, () => takeHarvest(memory));
}

/** The baseline: the source by its ioctls, exits in C. */
async function openBare(context: LabContext, each: StormCase): Promise<OpenVariant> {
  const { source, vcpus, slots } = each;
  const { pages } = layout(each);
  const data = { bytes: pages * PAGE_SIZE, slots: Math.min(slots, pages) };
  const how = source === 'host' ? {} : { log: source, ringEntries: RING_ENTRIES };
  const { machine, vm } = await StormMachine.openBare({ vcpus, cpus: context.cpus, data, ...how });
  const start = () => {
    vm.startLog();
    // As the library's: what a source reports at its start is no storm's.
    vm.takeLog();
  };
  return openOn(machine, context, each, start, () => timed(() => vm.takeLog()));
}

/** A harvest that counts its pages by itself. */
function timed(take: () => number): Found {
  const start = process.hrtime.bigint();
  const pages = take();
  return { pages, ns: Number(process.hrtime.bigint() - start) };
}

/** Rounds on a machine, which is closed with them. */
async function openOn(
  machine: StormMachine,
  context: LabContext,
  each: StormCase,
  start: () => void,
  take: () => Found,
): Promise<OpenVariant> {
  const { overlap, writes } = each;
  const { part, pages } = layout(each);
  let seed = context.scenario.seed;
  const touch = async (share: number): Promise<Round> => {
    // Which of the pages are written, and in which order, differs from round to round and from vCPU to vCPU.
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const ns = await machine.run(vcpu => ({
      kind: 'touch',
      firstPage: overlap ? 0 : vcpu * part,
      pages: part,
      writes: share,
      seed: (seed + Math.imul(vcpu, 0x9e3779b9)) >>> 0,
    }));
    const stored = machine.stored();
    const stores = stored.reduce((sum, count) => sum + count, 0);
    return { ns, stores, pagesMin: overlap ? Math.max(...stored) : stores, pagesMax: pages };
  };
  try {
    // Mapped by the guest before it is measured: what is measured is tracking, not the first access.
    await touch(1);
    start();
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
  const storm = new Storm(take);
  return {
    get lastNs() {
      return storm.lastNs;
    },
    get series() {
      return storm.series;
    },
    repeat: () => storm.repeat(() => touch(writes / 100)),
    [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose](),
  };
}

/** Memory without a VM: this thread writes a word to each page, through the API. */
async function openHost(bytes: number): Promise<OpenVariant> {
  const pages = Math.floor(bytes / PAGE_SIZE);
  const memory = new KvmMemory(PAGE_SIZE);
  memory.addRegion(STORM_DATA, pages * PAGE_SIZE, { prefault: true });
  memory.enableDirtyTracking(TRACKING.host);
  const writeAll = (value: number) => {
    for (let page = 0; page < pages; page++) memory.writeObj(STORM_DATA + page * PAGE_SIZE, u32le, value);
  };
  return hostRounds(
    pages,
    writeAll,
    () => takeHarvest(memory),
    () => memory[Symbol.dispose](),
  );
}

/** The baseline: a loop of C stores and marks, a second one takes the marks. */
async function openBareHost(bytes: number): Promise<OpenVariant> {
  const pages = Math.floor(bytes / PAGE_SIZE);
  const { prefault, mapMemory, writeMarked, takeMarks, countGarbage } = native();
  const { buffer } = mapMemory({ size: pages * PAGE_SIZE, kind: 'anonymous', name: 'node-kvm:lab' });
  prefault(buffer, 0, pages * PAGE_SIZE, 1);
  const data = new Uint8Array(buffer);
  const marks = new Uint8Array(new SharedArrayBuffer(pages));
  const summary = new Uint8Array(new SharedArrayBuffer(((pages - 1) >>> SUMMARY_SHIFT) + 1));
  const bits = new Uint8Array(8 * Math.ceil(pages / 64));
  return hostRounds(
    pages,
    value => writeMarked(data, marks, summary, value),
    () => timed(() => takeMarks(marks, summary, pages, bits, null)),
    () => countGarbage(buffer),
  );
}

/** Rounds in which this thread writes to all pages. */
function hostRounds(pages: number, writeAll: (value: number) => void, take: () => Found, close: () => void) {
  const storm = new Storm(take);
  let round = 0;
  const write = (): Round => {
    round += 1;
    const start = process.hrtime.bigint();
    writeAll(round);
    return { ns: Number(process.hrtime.bigint() - start), stores: pages, pagesMin: pages, pagesMax: pages };
  };
  return {
    get lastNs() {
      return storm.lastNs;
    },
    get series() {
      return storm.series;
    },
    repeat: () => storm.repeat(write),
    async [Symbol.asyncDispose]() {
      close();
    },
  };
}
