// The actors of the lab and the arena that they share: opens memory, threads and vCPUs, hands out orders, waits for results. Main thread. The words are
// shared/lab/control.ts; what a thread does with them is src/workers/lab-actor-worker.ts, what a guest does native/lab/guest.c.

import { native } from '../../../native/index.ts';
import { HypervisorError, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import { ActorWords, controlWords } from '../../../shared/lab/actor-words.ts';
import {
  LAB_ACTORS_MAX,
  LAB_BLOCK,
  LAB_CONTROL,
  LAB_GATE_PORT,
  LAB_LAYOUT,
  LAB_OVER,
  LAB_PARAMS_MAX,
  LAB_RESULT,
} from '../../../shared/lab/control.ts';
import { LAB_KERNELS } from '../../../shared/lab/kernels.ts';
import type { WasmMemory } from '../../../shared/memory-layout.ts';
import { GIB, KIB } from '../../../shared/units.ts';
import { deviceModule } from '../devices/device-module.ts';
import { elf } from '../images/elf.ts';
import { KvmMemory } from '../memory/kvm-memory.ts';
import { VirtualMachine } from '../vm/virtual-machine.ts';
import { distFile, workerFile } from '../vm/worker-file.ts';
import { type ActorClocks, type Clocked, measureClocks } from './actor-clocks.ts';
import { ActorThread } from './actor-thread.ts';
import { checkOrders } from './order-check.ts';
import type { ActorKind } from './report.ts';
import type { ActorResult, Order, Team } from './workload.ts';

/** Guests come first: a vCPU's index is its actor's number. */
const KINDS = ['guest', 'js', 'wasm', 'c'] as const satisfies readonly ActorKind[];
const THREAD_KINDS = ['js', 'wasm', 'c'] as const;
const WASM_PAGE = 64 * KIB;
const ARENA_MAX = 3 * GIB;
const RUN_TIMEOUT_MS = 60_000;

export interface TeamOptions {
  /** Size of the data, bytes: 0 to 3 GiB less what the guest and the loader need. Rounded up to 64 KiB. */
  readonly bytes: number;
  /** How many actors of each kind; together 1 to LAB_ACTORS_MAX. Absent: none. */
  readonly counts: Readonly<Partial<Record<ActorKind, number>>>;
}

/**
 * Maps the arena (a shared WebAssembly.Memory, all pages committed), starts all actors and measures their clocks. With guests among them the arena is the RAM of
 * a virtual machine.
 * @throws `ERR_OUT_OF_RANGE`, `ERR_UNKNOWN_OPTION`, `ERR_LAB_ACTOR` (an actor did not start), and what KVM and memory throw; nothing is left open then
 */
export async function openTeam(options: TeamOptions): Promise<Team> {
  refuseUnknownKeys(options, ['bytes', 'counts'], 'openTeam');
  const counts = checkCounts(options.counts);
  const bytes = checkBytes(options.bytes);
  const team = await ActorTeam.open(counts, bytes);
  try {
    await team.start();
  } catch (error) {
    await team[Symbol.asyncDispose]();
    throw error;
  }
  return team;
}

function checkCounts(given: TeamOptions['counts']): Record<ActorKind, number> {
  refuseUnknownKeys(given, KINDS, 'counts');
  const counts = { js: 0, wasm: 0, guest: 0, c: 0, ...given };
  for (const kind of KINDS) {
    if (!Number.isInteger(counts[kind]) || counts[kind] < 0)
      throw outOfRange(`counts.${kind}`, 'an integer of at least 0', counts[kind]);
  }
  const total = KINDS.reduce((sum, kind) => sum + counts[kind], 0);
  if (total < 1 || total > LAB_ACTORS_MAX) throw outOfRange('the number of actors', `1 to ${LAB_ACTORS_MAX}`, total);
  return counts;
}

function checkBytes(given: number): number {
  const most = ARENA_MAX - LAB_LAYOUT.DATA - LAB_LAYOUT.TAIL;
  if (!Number.isInteger(given) || given < 0 || given > most)
    throw outOfRange('bytes', `an integer up to ${most}`, given);
  return Math.ceil(given / WASM_PAGE) * WASM_PAGE;
}

/** The shared words of all actors. */
class Arena {
  readonly control: Int32Array;
  readonly blocks: readonly ActorWords[];

  constructor(readonly wasm: WasmMemory) {
    this.control = controlWords(wasm.buffer);
    this.blocks = Array.from({ length: LAB_ACTORS_MAX }, (_, actor) => new ActorWords(wasm.buffer, actor));
  }
}

class ActorTeam implements Team {
  readonly data: Team['data'];
  readonly counts: Readonly<Record<ActorKind, number>>;
  #arena: Arena | undefined;
  #memory: KvmMemory | undefined;
  #vm: VirtualMachine | undefined;
  readonly #threads: ActorThread[] = [];
  readonly #end = () => this.#sayOver();
  #clocks: ActorClocks = { clockNs: {}, ticksPerNs: 1 };
  #failure: HypervisorError | undefined;
  #isRunning = false;
  #closed: Promise<void> | undefined;

  static async open(counts: Record<ActorKind, number>, bytes: number): Promise<ActorTeam> {
    const size = LAB_LAYOUT.DATA + bytes + LAB_LAYOUT.TAIL;
    const how = { backing: 'wasm', prefault: true } as const;
    if (counts.guest === 0) return new ActorTeam(counts, bytes, new KvmMemory(size, how), undefined);
    const gate = deviceModule(workerFile('lab/gate-device'), {
      name: 'lab gate',
      pio: { base: LAB_GATE_PORT, length: 4 },
      where: 'vcpu',
    });
    const memory = { size, ...how };
    const vm = await VirtualMachine.create({ memory, vcpus: counts.guest, engine: 'kvm', devices: [gate] });
    return new ActorTeam(counts, bytes, vm.memory, vm);
  }

  private constructor(
    counts: Record<ActorKind, number>,
    bytes: number,
    memory: KvmMemory,
    vm: VirtualMachine | undefined,
  ) {
    const wasm = memory.wasmMemory;
    if (wasm === undefined) throw new HypervisorError('ERR_STATE', "the lab's arena is a WebAssembly.Memory");
    this.#arena = new Arena(wasm);
    this.#memory = memory;
    this.#vm = vm;
    this.data = { at: LAB_LAYOUT.DATA, bytes };
    this.counts = counts;
  }

  /** @throws `ERR_DISPOSED` */
  get buffer(): SharedArrayBuffer {
    return this.#open().wasm.buffer;
  }

  get clockNs(): Team['clockNs'] {
    return this.#clocks.clockNs;
  }

  /** Once. Resolves when every actor has had its first orders. */
  async start(): Promise<void> {
    // A C kernel or a guest that waits for another actor keeps its thread, and so a process that wants to exit.
    process.once('exit', this.#end);
    const { wasm } = this.#open();
    if (this.#vm !== undefined) {
      await this.#vm.load(elf(distFile('lab/guest.elf'), { cpl: 3 }));
      await this.#vm.start();
      void this.#vm.finished.then(({ reason, error }) => {
        this.#fail(new HypervisorError('ERR_LAB_ACTOR', `the lab's guest ended: ${reason}`, { cause: error }));
      });
    }
    for (const kind of THREAD_KINDS) {
      for (let index = 0; index < this.counts[kind]; index++) {
        const data = { kind, actor: this.#numberOf({ kind, index }), memory: wasm };
        this.#threads.push(new ActorThread(data, error => this.#fail(error)));
      }
    }
    await Promise.all(this.#threads.map(thread => thread.ready));
    this.#clocks = await measureClocks(this.counts, orders => this.#perform(orders));
  }

  async run(orders: readonly Order[]): Promise<readonly ActorResult[]> {
    checkOrders(orders, this.counts, this.data.at + this.data.bytes);
    const { clockNs, ticksPerNs } = this.#clocks;
    const clocked = await this.#perform(orders);
    const kinds = orders.map(({ actor }) => actor.kind);
    // Guests among themselves have one counter; beside threads the gate says when they ended.
    const guestsOnly = kinds.every(kind => kind === 'guest');
    const ends = clocked.map(({ end, gate }, i) => (kinds[i] === 'guest' && !guestsOnly ? gate : end));
    return clocked.map(({ ticks, values }, i) => {
      const kind = kinds[i] ?? 'js';
      const ns = Math.max(0, (kind === 'guest' ? ticks / ticksPerNs : ticks) - (clockNs[kind] ?? 0));
      // Differences first: the clocks themselves are too large for a number's digits.
      const endNs = Number((ends[i] ?? 0n) - (ends[0] ?? 0n)) / (guestsOnly ? ticksPerNs : 1);
      return { ns, startNs: endNs - ns, ops: Number(values[0]), values };
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#failure ??= new HypervisorError('ERR_DISPOSED', 'the team was disposed');
    this.#sayOver();
    process.off('exit', this.#end);
    await Promise.all(this.#threads.map(thread => thread.close()));
    if (this.#vm === undefined) this.#memory?.[Symbol.dispose]();
    else await this.#vm[Symbol.asyncDispose]();
    this.#arena = undefined;
    this.#memory = undefined;
    this.#vm = undefined;
    // V8 does not know how much hangs on the arena: without this, those of teams that are gone would fill the machine.
    native().collectGarbage();
  }

  #open(): Arena {
    if (this.#arena === undefined) throw new HypervisorError('ERR_DISPOSED', 'the team was disposed');
    return this.#arena;
  }

  /** Orders that were checked. Times as the actors took them. */
  async #perform(orders: readonly Order[]): Promise<Clocked[]> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isRunning) throw new HypervisorError('ERR_STATE', 'a repetition is under way already');
    this.#isRunning = true;
    try {
      this.#give(orders);
      await this.#allDone(orders.length);
    } finally {
      this.#isRunning = false;
    }
    return orders.map(order => {
      const { results, values } = this.#blockOf(order);
      const [start = 0n, end = 0n, gate = 0n] = results.subarray(LAB_RESULT.START, LAB_RESULT.GATE + 1);
      return { ticks: Number(end - start), end, gate, values: [...values] };
    });
  }

  #give(orders: readonly Order[]): void {
    const { control } = this.#open();
    Atomics.store(control, LAB_CONTROL.ARRIVED, 0);
    Atomics.store(control, LAB_CONTROL.DONE, 0);
    Atomics.store(control, LAB_CONTROL.PARTICIPANTS, orders.length);
    orders.forEach((order, rank) => {
      const { words } = this.#blockOf(order);
      words[LAB_BLOCK.RANK] = rank;
      words[LAB_BLOCK.CPU] = order.cpu === undefined ? 0 : order.cpu + 1;
      for (let i = 0; i < LAB_PARAMS_MAX; i++) words[LAB_BLOCK.PARAMS + i] = order.params[i] ?? 0;
      // Last: whoever sees it sees the rest.
      Atomics.store(words, LAB_BLOCK.KERNEL, LAB_KERNELS[order.kernel]);
    });
    for (const order of orders) call(this.#blockOf(order));
  }

  async #allDone(count: number): Promise<void> {
    const { control } = this.#open();
    const timer = setTimeout(() => {
      const late = count - Atomics.load(control, LAB_CONTROL.DONE);
      const text = `${late} of ${count} actors did not end within ${RUN_TIMEOUT_MS / 1000} s`;
      this.#fail(new HypervisorError('ERR_LAB_ACTOR', text));
    }, RUN_TIMEOUT_MS);
    try {
      for (;;) {
        const done = Atomics.load(control, LAB_CONTROL.DONE);
        if (this.#failure !== undefined) throw this.#failure;
        if (done === count) return;
        // Without a time limit of its own: V8 keeps the timer of a wait that has ended.
        await Atomics.waitAsync(control, LAB_CONTROL.DONE, done).value;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #blockOf({ actor }: Order): ActorWords {
    const block = this.#open().blocks[this.#numberOf(actor)];
    if (block === undefined) throw outOfRange('actor', 'an actor of the team', actor.index);
    return block;
  }

  #numberOf({ kind, index }: Order['actor']): number {
    let first = 0;
    for (const before of KINDS) {
      if (before === kind) break;
      first += this.counts[before];
    }
    return first + index;
  }

  /** The first failure is the one that is told; nobody waits for the others any more. */
  #fail(error: HypervisorError): void {
    this.#failure ??= error;
    this.#sayOver();
  }

  #sayOver(): void {
    if (this.#arena === undefined) return;
    const { control, blocks } = this.#arena;
    Atomics.store(control, LAB_CONTROL.EPOCH, LAB_OVER);
    for (const block of blocks) call(block);
    Atomics.notify(control, LAB_CONTROL.DONE);
  }
}

/** Wakes an actor, or lets it not fall asleep. */
function call({ words }: ActorWords): void {
  Atomics.add(words, LAB_BLOCK.CALL, 1);
  Atomics.notify(words, LAB_BLOCK.CALL);
}
