// One source's soak: writers of every kind that the source claims to see, two consumers at different rhythms, regions that come and
// go, in rounds; each round ends at rest, where both copies must equal the memory byte for byte. Main thread.

import { setImmediate as turn } from 'node:timers/promises';
import { flat, KvmMemory, VirtualMachine } from 'node-kvm';
import { proveBlindness } from './blindness.ts';
import { Churn } from './churn.ts';
import type { Claims, SourceColumn } from './claims.ts';
import { guest, setRest, writeList, writeParams } from './guest.ts';
import { BASE_PAGES, GUEST_CODE, PAGE, TAG, WRITER_KINDS, type WriterKind } from './layout.ts';
import { Random } from './random.ts';
import { Mapped, Replica } from './replica.ts';
import { apiScribble, type Scribble } from './scribble.ts';
import { Writers } from './writers.ts';

export const SOAK_SOURCES = ['bitmap', 'bitmap-manual', 'ring', 'pagemap', 'host'] as const;
export type SoakSource = (typeof SOAK_SOURCES)[number];

/** The column of the table that it answers to. */
export const columnOf = (source: SoakSource): SourceColumn => (source === 'bitmap-manual' ? 'bitmap' : source);

export interface SoakOptions {
  readonly source: SoakSource;
  readonly claims: Claims;
  readonly seed: number;
  /** The run ends with the first round that reaches one of them. */
  readonly seconds: number;
  readonly harvests: number;
  /** What this machine has. */
  readonly kvm: boolean;
  readonly pagemap: boolean;
  /** writer.ts, compiled. */
  readonly writerScript: URL;
  onProgress(share: number): void;
}

export interface SoakReport {
  readonly source: SoakSource;
  readonly seed: number;
  readonly writers: readonly WriterKind[];
  /** Documented not to be seen, and proved so. */
  readonly blindTo: readonly WriterKind[];
  readonly seconds: number;
  readonly rounds: number;
  readonly harvests: number;
  /** Replayed, by both consumers. */
  readonly pages: number;
  /** Of regions and sources, while everybody wrote. */
  readonly changes: number;
  /** Empty: every round ended with equal copies. */
  readonly problems: readonly string[];
}

const VCPUS = 2;
/** Small, so that rings fill up within a round and vCPUs leave KVM_RUN for it; more than the entries that KVM keeps in reserve (64 and 512 of PML). */
const RING_ENTRIES = 1024;
/** The second consumer harvests once in so many harvests of the first. */
const SLOW_RHYTHM = 7;
const STEPS_MAX = 60;
/** With a number of harvests to reach: longer rounds, and writers that leave most of the processors to the consumers. */
const STEPS_MAX_COUNTED = 600;
const CHANGE_EVERY = 24;
/** Writes in a burst of a writer's; 0: no pauses. And turns that a vCPU rests after a write. */
const PACES = [0, 2, 8, 32] as const;
const PACES_COUNTED = [2, 8, 32] as const;
const RESTS = [0, 0, 20, 2000, 50_000] as const;
const RESTS_COUNTED = [20, 2000, 50_000] as const;
/** How many pages the vCPUs write to in a round. */
const SPREADS = [3, 40, 400] as const;
const PROBLEMS_SHOWN = 8;

export async function soak(options: SoakOptions): Promise<SoakReport> {
  await using run = await Soak.start(options);
  return await run.toEnd();
}

class Soak implements AsyncDisposable {
  readonly #options: SoakOptions;
  readonly #random: Random;
  readonly #memory: KvmMemory;
  readonly #vm: VirtualMachine | undefined;
  readonly #writers: Writers;
  readonly #kinds: readonly WriterKind[];
  readonly #scribble: Scribble;
  readonly #churn: Churn;
  readonly #replicas: Replica[] = [];
  #begin = performance.now();
  readonly #idle = new Int32Array(new SharedArrayBuffer(4));
  #mapped: Mapped;
  #steps = 0;
  #rounds = 0;
  #vmEnd: string | undefined;

  private constructor(options: SoakOptions, random: Random, memory: KvmMemory, vm: VirtualMachine | undefined) {
    const claims = options.claims[columnOf(options.source)];
    this.#options = options;
    this.#random = random;
    this.#memory = memory;
    this.#vm = vm;
    this.#kinds = WRITER_KINDS.filter(kind => claims[kind] && (kind !== 'guest' || vm !== undefined));
    this.#scribble = apiScribble(memory, random, TAG.apiMain);
    this.#mapped = new Mapped(memory);
    const threads = this.#kinds.filter(kind => kind !== 'guest');
    this.#writers = new Writers(memory, threads, options.seed, options.writerScript);
    const own = tracking(options.source);
    // The kernel's write tracking sees what any source sees.
    const other = options.pagemap && own.source !== 'pagemap' ? ({ source: 'pagemap' } as const) : undefined;
    this.#churn = new Churn(memory, random, this.#writers, own, other);
    void vm?.finished.then(({ reason, error }) => {
      this.#vmEnd = `the machine ended: ${reason} ${error?.message ?? ''}`;
    });
  }

  /** Everything at rest, tracking on. */
  static async start(options: SoakOptions): Promise<Soak> {
    const random = new Random(options.seed);
    const backing = random.pick(['anonymous', 'memfd'] as const);
    const size = BASE_PAGES * PAGE;
    const withGuest = options.kvm && options.claims[columnOf(options.source)].guest;
    if (!withGuest) {
      const memory = new KvmMemory(size, { backing });
      Churn.addRegions(memory);
      memory.enableDirtyTracking(tracking(options.source));
      return new Soak(options, random, memory, undefined);
    }
    const vm = await VirtualMachine.create({
      memory: { size, backing },
      vcpus: VCPUS,
      engine: 'kvm',
      dirtyTracking: {
        ...tracking(options.source),
        ...(options.source === 'ring' ? { ringEntries: RING_ENTRIES } : {}),
      },
    });
    try {
      Churn.addRegions(vm.memory);
      writeParams(vm.memory, VCPUS, options.seed);
      writeList(vm.memory, random, SPREADS[2]);
      await vm.load(flat(guest, { at: GUEST_CODE, mode: 64, cpl: 3 }));
      return new Soak(options, random, vm.memory, vm);
    } catch (error) {
      await vm[Symbol.asyncDispose]();
      throw error;
    }
  }

  async toEnd(): Promise<SoakReport> {
    await this.#writers.ready();
    await this.#vm?.start();
    this.#begin = performance.now();
    this.#writers.go(0);
    // With everybody writing: pages that are written while they are copied are the first harvest's.
    const fast = new Replica('every harvest', this.#memory);
    fast.copyAll(this.#mapped);
    this.#replicas.push(fast);

    const problems: string[] = [];
    // Two rounds at least: the second consumer begins with the second one.
    while (problems.length === 0 && (this.#rounds < 2 || !this.#done())) problems.push(...(await this.#round()));
    // What ended a writer's thread comes as an event.
    await turn();
    this.#writers.check();
    const blindTo = WRITER_KINDS.filter(kind => !this.#options.claims[columnOf(this.#options.source)][kind]);
    this.#churn.settle();
    if (problems.length === 0) problems.push(...proveBlindness(this.#memory, this.#options.source, blindTo));
    return {
      source: this.#options.source,
      seed: this.#options.seed,
      writers: this.#kinds,
      blindTo,
      seconds: (performance.now() - this.#begin) / 1000,
      rounds: this.#rounds,
      harvests: this.#replicas.reduce((sum, { harvests }) => sum + harvests, 0),
      pages: this.#replicas.reduce((sum, { pages }) => sum + pages, 0),
      changes: this.#churn.changes,
      problems: problems.slice(0, PROBLEMS_SHOWN),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writers[Symbol.asyncDispose]();
    if (this.#vm === undefined) this.#memory[Symbol.dispose]();
    else await this.#vm[Symbol.asyncDispose]();
  }

  get #isCounted(): boolean {
    return Number.isFinite(this.#options.harvests);
  }

  /** The number of harvests: the round ends at once. */
  get #reached(): boolean {
    return this.#rounds > 2 && this.#steps >= this.#options.harvests;
  }

  #done(): boolean {
    const { seconds, harvests, onProgress } = this.#options;
    const share = Math.max((performance.now() - this.#begin) / 1000 / seconds, this.#steps / harvests);
    onProgress(Math.min(1, share));
    return share >= 1;
  }

  /** Everybody writes while the consumers harvest; then all rest, a last harvest, and the copies are compared. */
  async #round(): Promise<string[]> {
    const random = this.#random;
    this.#rounds += 1;
    this.#writers.go(random.pick(this.#isCounted ? PACES_COUNTED : PACES));
    if (this.#rounds > 1) await this.#vm?.resume();
    if (this.#rounds === 2) this.#openSlow();
    for (
      let step = random.below(this.#isCounted ? STEPS_MAX_COUNTED : STEPS_MAX);
      step >= 0 && !this.#reached;
      step--
    ) {
      this.#step();
      // Blocked, as a consumer that waits for its network is; and now and then the event loop turns.
      Atomics.wait(this.#idle, 0, 0, random.below(4) / 8);
      if (random.oneIn(16)) await turn();
    }
    this.#writers.stop();
    await this.#vm?.pause();
    this.#writers.check();
    if (this.#vmEnd !== undefined) throw new Error(this.#vmEnd);

    for (const replica of this.#replicas) replica.step(this.#mapped, random, { mayAbort: false });
    const differences = this.#replicas.flatMap(replica => replica.differences(this.#mapped));
    if (differences.length > 0) return [`round ${this.#rounds}, ${differences.length} pages differ`, ...differences];
    // For the next round, while nobody runs: what the vCPUs write to, and how fast.
    if (this.#vm !== undefined) {
      writeList(this.#memory, random, random.pick(SPREADS));
      setRest(this.#memory, VCPUS, random.pick(this.#isCounted ? RESTS_COUNTED : RESTS));
    }
    return [];
  }

  #openSlow(): void {
    // Either way to begin: everything is copied now, or the first harvest names everything.
    const initially = this.#random.pick(['clean', 'dirty'] as const);
    const slow = new Replica(`every ${SLOW_RHYTHM}th harvest`, this.#memory.dirtyCursor('slow', { initially }));
    if (initially === 'clean') slow.copyAll(this.#mapped);
    this.#replicas.push(slow);
  }

  #step(): void {
    const random = this.#random;
    this.#steps += 1;
    for (let writes = random.below(6); writes > 0; writes--) this.#scribble();
    const due = this.#replicas.filter((_, index) => index === 0 || this.#steps % SLOW_RHYTHM === 0);
    for (const replica of due) {
      const before = this.#mapped;
      const change = random.oneIn(CHANGE_EVERY) ? this.#churn.next() : undefined;
      replica.step(before, random, { mayAbort: true, ...(change === undefined ? {} : { meanwhile: change.run }) });
      if (change === undefined) continue;
      this.#mapped = new Mapped(this.#memory);
      // After the harvest that was open was read: it may have brought pages of the memory that was there before.
      const { cleared } = change;
      if (cleared !== undefined) for (const each of this.#replicas) each.clear(cleared.start, cleared.size);
    }
  }
}

function tracking(source: SoakSource): { source: SourceColumn; log?: 'plain' | 'manual' } {
  if (source === 'bitmap') return { source, log: 'plain' };
  return source === 'bitmap-manual' ? { source: 'bitmap', log: 'manual' } : { source };
}
