// Region changes under load: what adding and removing a region of guest memory takes while the actors of a mix rest, write elsewhere, or write to the
// region itself. Main thread; the region comes and goes here.

import { STORM_DATA } from '../../../../shared/lab/storm.ts';
import { GIB, MIB, PAGE_SIZE } from '../../../../shared/units.ts';
import { actorsOf } from '../actor-mix.ts';
import { requireResult } from '../machines/guest-mixes.ts';
import { type LoadPlan, LoadThreads } from '../machines/load-threads.ts';
import { StormMachine } from '../machines/storm-machine.ts';
import { peerOpener } from '../peers/peer.ts';
import { findSelftest, MEMSLOT_TEST, openMemslotTest } from '../peers/selftests.ts';
import type { ActorId, LabContext, OpenVariant, Variant, Workload } from '../workload.ts';

/** What the actors write to meanwhile, together. */
const LOAD_BYTES = 16 * MIB;
/** Where the region comes and goes, and its size: large enough that it would show, small enough that mapping it is not what is measured. */
const PLACE = { at: STORM_DATA + 64 * GIB, bytes: 2 * MIB };
/** What guest n stores is this + n. */
const GUEST_MARK = 0x6775_0000;

type Load = 'idle' | 'busy' | 'inside';

export const regionChurn: Workload = {
  suite: 'regions',
  name: 'churn',
  title: 'adding and removing a region, under actors that rest, write elsewhere, or write to it',
  model:
    'One operation is addRegion() and removeRegion() of 2 MiB: a mapping, a KVM slot, the table that all threads see, and the way back; the machine has a vCPU for each guest of the mix, ' +
    "and one at least. Removing a region takes all vCPUs out of the guest first, so with running guests (load 'busy') their number, and the time that a kick takes, add to it; with vCPUs that sleep in a device " +
    "(load 'idle') they don't. Threads have nothing to be taken out of, but use the CPUs, and each unmapping interrupts them. With the load 'inside' guests and JavaScript write to the region itself, and between two " +
    'changes all of them get to it: a guest that finds nothing there makes an MMIO exit and goes on, JavaScript has ERR_MEMORY_UNMAPPED; what they wrote is checked, and freeing the touched pages is in the figure. ' +
    'The baseline maps memory and makes the two ioctls, under as many guests, whose exits are handled in C, and C threads that write elsewhere: KVM itself takes the vCPUs out, and no table is to be published. ' +
    "Beside one vCPU that is not idle the kernel's memslot_perf_test is shown where it is installed: it moves a slot of 2 MiB away and back ('move inactive area', and 'move active area' for " +
    "the load 'inside'), two ioctls as well, but both of them take the vCPU out, and it maps nothing.",
  kinds: ['guest', 'js', 'wasm', 'c'],
  needsKvm: true,
  variants: context =>
    context.hasKvm
      ? context.scenario.actors.flatMap(mix => loadsOf(context, mix).map(load => variant(context, mix, load)))
      : [],
};

/** All loads for guests alone, whose number is what counts; for any other mix the one that shows most. Only guests and JavaScript can do without memory that is gone. */
function loadsOf({ scenario }: LabContext, mix: string): readonly Load[] {
  const kinds = new Set(actorsOf(mix).map(({ kind }) => kind));
  if (kinds.size === 1 && kinds.has('guest')) return scenario.quick ? ['busy'] : ['idle', 'busy', 'inside'];
  return kinds.has('guest') || kinds.has('js') ? ['inside'] : ['busy'];
}

function variant(context: LabContext, mix: string, load: Load): Variant {
  const actors = actorsOf(mix);
  const guests = actors.filter(({ kind }) => kind === 'guest').length;
  const vcpus = Math.max(1, guests);
  const part = 2 ** Math.floor(Math.log2(LOAD_BYTES / PAGE_SIZE / actors.length));
  const options = {
    vcpus,
    cpus: guestCpus(context, actors),
    data: { bytes: part * actors.length * PAGE_SIZE, slots: 1 },
    place: PLACE,
  };
  return {
    suite: 'regions',
    workload: 'churn',
    actors: mix,
    count: actors.length,
    parameters: { load },
    unit: 'us',
    better: 'lower',
    open: async () => {
      const machine = await StormMachine.open(options);
      const { memory } = machine;
      return opened(machine, plansOf(context, actors, load, part), load, {
        add: () => memory.addRegion(PLACE.at, PLACE.bytes),
        words: () => wordsOf(memory.view(PLACE.at, PLACE.bytes)),
        remove: () => memory.removeRegion(PLACE.at),
      });
    },
    openBaseline: async () => {
      const { machine, vm } = await StormMachine.openBare(options);
      const inC = plansOf(context, actors, load, part).map(
        (plan): Plan => (plan.kind === 'guest' ? plan : { ...plan, kind: 'c', isInside: false }),
      );
      let buffer = new SharedArrayBuffer(0);
      return opened(machine, inC, load, {
        add: () => {
          buffer = vm.addSpare(PLACE.at, PLACE.bytes);
        },
        words: () => wordsOf(new Uint8Array(buffer)),
        remove: () => vm.removeSpare(PLACE.at, buffer),
      });
    },
    // The test has one vCPU, which never rests.
    ...(mix === 'guest:1' && load !== 'idle' ? { peers: peersOf(context, load) } : {}),
  };
}

/** The kernel's own test, where somebody has built it. */
function peersOf(context: LabContext, load: 'busy' | 'inside'): NonNullable<Variant['peers']> {
  if (!context.scenario.peers) return {};
  const test = findSelftest(MEMSLOT_TEST);
  if (!test.found) {
    context.skip(`peer ${MEMSLOT_TEST}`, test.reason);
    return {};
  }
  const each = { slotBytes: PLACE.bytes, writes: load === 'inside' ? 'inside' : 'beside' } as const;
  return { [MEMSLOT_TEST]: peerOpener(context, MEMSLOT_TEST, () => openMemslotTest(test.file, each)) };
}

/** One actor's part of the load: pages from STORM_DATA on. */
interface Plan extends Omit<LoadPlan, 'kind' | 'at'> {
  readonly kind: ActorId['kind'];
  readonly firstPage: number;
  /** They are the region's. */
  readonly isInside: boolean;
}

function plansOf({ cpus }: LabContext, actors: readonly ActorId[], load: Load, part: number): Plan[] {
  const inRegion = 2 ** Math.floor(Math.log2(PLACE.bytes / PAGE_SIZE / actors.length));
  return actors.map(({ kind }, rank) => {
    const isInside = load === 'inside' && (kind === 'guest' || kind === 'js');
    const pages = isInside ? inRegion : part;
    const firstPage = (isInside ? (PLACE.at - STORM_DATA) / PAGE_SIZE : 0) + rank * pages;
    const cpu = cpus[rank % cpus.length];
    return { kind, firstPage, pages, isInside, cpus: cpu === undefined ? [] : [cpu] };
  });
}

/** By their places in the mix, as plansOf() does it; the vCPU of a mix without guests sleeps. */
function guestCpus({ cpus }: LabContext, actors: readonly ActorId[]): number[] {
  return actors.flatMap(({ kind }, rank) => (kind === 'guest' ? (cpus[rank % cpus.length] ?? []) : []));
}

/** A region that comes and goes, by the library or by ioctls. */
interface Region {
  add(): void;
  /** What is in it, while it is there. */
  words(): Uint32Array;
  remove(): void;
}

const wordsOf = ({ buffer, byteOffset, byteLength }: Uint8Array) => new Uint32Array(buffer, byteOffset, byteLength / 4);

/** The machine, closed with it, and its load. */
async function opened(machine: StormMachine, plans: readonly Plan[], load: Load, region: Region): Promise<OpenVariant> {
  const guests = plans.filter(({ kind }) => kind === 'guest');
  const ofThreads = plans.filter(({ kind }) => kind !== 'guest');
  try {
    const threads = await LoadThreads.open(
      machine.memory,
      ofThreads.flatMap(plan =>
        plan.kind === 'guest' ? [] : { ...plan, kind: plan.kind, at: STORM_DATA + plan.firstPage * PAGE_SIZE },
      ),
    );
    return new Churn(machine, threads, guests, ofThreads, load, region);
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
}

/** Repetitions of changes, each timed, under load or not. */
class Churn implements OpenVariant {
  lastNs = 0;

  constructor(
    readonly machine: StormMachine,
    readonly threads: LoadThreads,
    readonly guests: readonly Plan[],
    readonly ofThreads: readonly Plan[],
    readonly load: Load,
    readonly region: Region,
  ) {}

  async repeat(scale: number) {
    const count = Math.ceil(scale);
    const begin = process.hrtime.bigint();
    if (this.load !== 'idle') {
      this.#start();
      await this.#goingOn();
    }
    const latenciesNs = new Float64Array(count);
    for (let i = 0; i < count; i++) latenciesNs[i] = this.load === 'inside' ? await this.#touched() : this.#untouched();
    if (this.load !== 'idle') {
      // They went on after the last change.
      await this.#goingOn();
      await this.#rest();
    }
    const ns = latenciesNs.reduce((sum, each) => sum + each, 0);
    // With the load inside, most of the time is spent waiting for it between two changes.
    this.lastNs = this.load === 'inside' ? Number(process.hrtime.bigint() - begin) : ns;
    return { value: ns / count / 1e3, latenciesNs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.threads[Symbol.asyncDispose]();
    await this.machine[Symbol.asyncDispose]();
  }

  /** A change, nanoseconds. */
  #untouched(): number {
    const start = process.hrtime.bigint();
    this.region.add();
    this.region.remove();
    return Number(process.hrtime.bigint() - start);
  }

  /** A change between whose halves everybody writes to the region, and after which everybody has met with nothing there. */
  async #touched(): Promise<number> {
    const start = process.hrtime.bigint();
    this.region.add();
    const added = process.hrtime.bigint();
    await this.#goingOn();
    this.#check(this.region.words());
    const before = process.hrtime.bigint();
    this.region.remove();
    const ns = Number(process.hrtime.bigint() - before + (added - start));
    const refused = this.#refused();
    await this.#goingOn();
    // A vCPU that went on has made its exits; a thread's refusals are counted.
    this.#refused().forEach((now, index) => {
      const isExpected = this.ofThreads[index]?.isInside !== true || now !== refused[index];
      requireResult(isExpected, () => `load thread ${index} wrote to a region that is gone`);
    });
    return ns;
  }

  /** Each actor's pages of the region hold what it wrote there or nothing, and one of them at least has something. */
  #check(words: Uint32Array): void {
    const base = (PLACE.at - STORM_DATA) / PAGE_SIZE;
    const check = (who: string, plan: Plan, isOwn: (value: number) => boolean) => {
      if (!plan.isInside) return;
      let written = 0;
      for (let page = plan.firstPage - base; page < plan.firstPage - base + plan.pages; page++) {
        const value = words[(page * PAGE_SIZE) / 4] ?? 0;
        requireResult(
          value === 0 || isOwn(value),
          () => `page ${page} of the region holds ${value}, which ${who} did not write`,
        );
        if (value !== 0) written += 1;
      }
      requireResult(written > 0, () => `nothing of what ${who} wrote is in the region`);
    };
    for (const [vcpu, plan] of this.guests.entries()) check(`vCPU ${vcpu}`, plan, value => value === GUEST_MARK + vcpu);
    for (const [index, plan] of this.ofThreads.entries())
      check(`load thread ${index}`, plan, value => value <= this.threads.stepsOf(index) + 1);
  }

  #refused(): number[] {
    return this.ofThreads.map((_, index) => this.threads.refusedOf(index));
  }

  #start(): void {
    const { guests, machine } = this;
    if (guests.length > 0) {
      machine.start(vcpu => {
        const { firstPage = 0, pages = 1 } = guests[vcpu] ?? {};
        return { kind: 'load', firstPage, pages, value: GUEST_MARK + vcpu };
      });
    }
    this.threads.start();
  }

  /** Every actor has written something since. */
  async #goingOn(): Promise<void> {
    if (this.guests.length > 0) await this.machine.loading();
    await this.threads.stepped();
  }

  async #rest(): Promise<void> {
    await this.threads.rest();
    if (this.guests.length > 0) await this.machine.finish();
  }
}
