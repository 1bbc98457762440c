// A virtual machine whose vCPUs carry out orders: what the machine workloads run on. Opens it, hands out orders, waits for them and takes
// the times. Main thread.

import type { Device, DeviceSpec } from '../../../../shared/device.ts';
import { HypervisorError } from '../../../../shared/errors.ts';
import {
  ORDER,
  ORDER_BYTES,
  ORDER_KINDS,
  ROUND_OVER,
  STATE,
  STATE_BYTES,
  STORM_CODE,
  STORM_DATA,
  STORM_ORDERS,
  STORM_PORTS,
  TIMES,
  TIMES_OFFSET,
} from '../../../../shared/lab/storm.ts';
import { MIB, PAGE_SIZE } from '../../../../shared/units.ts';
import { deviceModule } from '../../devices/device-module.ts';
import { flat } from '../../images/flat.ts';
import type { DirtyTrackingOptions } from '../../memory/dirty-selection.ts';
import { KvmMemory } from '../../memory/kvm-memory.ts';
import { VirtualMachine } from '../../vm/virtual-machine.ts';
import { distFile } from '../../vm/worker-file.ts';
import { BareVm, type BareVmOptions } from './bare-vm.ts';
import { pollUntil } from './poll.ts';
import { stormCode } from './storm-guest.ts';

/** Code, orders, tables and stacks. */
const LOW_MEMORY = 4 * MIB;
/** Longer than any round: a vCPU that has not come back then never will. */
const ROUND_MS_MAX = 60_000;

export interface StormOptions {
  readonly vcpus: number;
  /** Processors to pin vCPUs to, in turn; empty: not pinned. */
  readonly cpus: readonly number[];
  /** Besides the gate. */
  devices?(state: SharedArrayBuffer): readonly (Device | DeviceSpec)[];
  /** Memory from STORM_DATA on: bytes, committed at once, in so many slots. */
  readonly data?: { readonly bytes: number; readonly slots: number };
  /** Guest-physical addresses where memory may come later: the guest's tables map them from the start. 2 MiB aligned. */
  readonly place?: { readonly at: number; readonly bytes: number };
  /** For the ring, which is chosen with the VM. */
  readonly tracking?: DirtyTrackingOptions;
}

/** As StormOptions, with what the baseline has in place of devices and tracking. */
export type BareOptions = Pick<StormOptions, 'vcpus' | 'cpus' | 'data' | 'place'> & BareVmOptions;

/** One vCPU's order. Pages are counted from STORM_DATA on, `pages` is a power of two. */
export type StormOrder =
  | { readonly kind: 'pio' | 'mmio' | 'bell' | 'ring'; readonly count: number }
  | {
      readonly kind: 'touch';
      readonly firstPage: number;
      readonly pages: number;
      /** 0 to 1. */
      readonly writes: number;
      readonly seed: number;
    }
  | {
      readonly kind: 'load';
      readonly firstPage: number;
      readonly pages: number;
      /** What is stored. */
      readonly value: number;
    };

/** URL of a device module of the lab. */
export const labDevice = (name: 'storm-gate' | 'storm-sink' | 'storm-bell') =>
  distFile(`workers/lab/${name}-device.js`);

/** What the vCPUs belong to: the library's machine, or the baseline's. */
interface Host extends AsyncDisposable {
  readonly memory: KvmMemory;
  /** Rejects when a vCPU ends before its machine. */
  readonly failed: Promise<never>;
}

export class StormMachine implements AsyncDisposable {
  readonly #host: Host;
  readonly #states: readonly { readonly words: Int32Array; readonly times: Float64Array }[];
  readonly #orders: readonly Int32Array[];
  #round = 0;

  /** Resolves when all vCPUs sleep in their gates. @throws HypervisorError as VirtualMachine.create, load and start do */
  static async open(options: StormOptions): Promise<StormMachine> {
    const { vcpus, cpus, data, place, tracking } = options;
    const state = new SharedArrayBuffer(vcpus * STATE_BYTES);
    const gate = deviceModule(labDevice('storm-gate'), {
      name: 'gate',
      pio: { base: STORM_PORTS.GATE, length: 4 },
      where: 'vcpu',
      state,
    });
    const vm = await VirtualMachine.create({
      memory: LOW_MEMORY,
      vcpus,
      engine: 'kvm',
      devices: [gate, ...(options.devices?.(state) ?? [])],
      ...(cpus.length === 0 ? {} : { affinity: Array.from({ length: vcpus }, (_, i) => [cpus[i % cpus.length] ?? 0]) }),
      ...(tracking === undefined ? {} : { dirtyTracking: tracking }),
    });
    const failed = vm.finished.then((result): never => {
      throw new HypervisorError('ERR_LAB_ACTOR', `the lab's guest ended: ${result.reason}`, { cause: result.error });
    });
    // It also ends when it is disposed of; nobody waits for it then.
    failed.catch(() => {});
    const host = { memory: vm.memory, failed, [Symbol.asyncDispose]: () => vm[Symbol.asyncDispose]() };
    return opened(host, state, async () => {
      if (data !== undefined) addSlots(vm.memory, data);
      await withPlace(vm.memory, place, () => vm.load(stormImage()));
      await vm.start();
    });
  }

  /** The same guest on the baseline's machine, which handles exits in C: no devices but the gate and a sink that counts. */
  static async openBare(options: BareOptions): Promise<{ readonly machine: StormMachine; readonly vm: BareVm }> {
    const { vcpus, cpus, data, place, ...how } = options;
    const state = new SharedArrayBuffer(vcpus * STATE_BYTES);
    const memory = new KvmMemory(LOW_MEMORY);
    try {
      if (data !== undefined) addSlots(memory, data);
      const boots = await withPlace(memory, place, () => stormImage().load({ memory, vcpus }));
      const vm = new BareVm(memory, vcpus, how);
      const close = async () => {
        await vm[Symbol.asyncDispose]();
        memory[Symbol.dispose]();
      };
      const host = { memory, failed: vm.failed, [Symbol.asyncDispose]: close };
      return { vm, machine: await opened(host, state, async () => vm.start(boots, state, cpus)) };
    } catch (error) {
      memory[Symbol.dispose]();
      throw error;
    }
  }

  /** @internal Use open() or openBare(). */
  constructor(host: Host, state: SharedArrayBuffer) {
    this.#host = host;
    const vcpus = Array.from({ length: state.byteLength / STATE_BYTES }, (_, index) => index);
    this.#states = vcpus.map(index => ({
      words: new Int32Array(state, index * STATE_BYTES, TIMES_OFFSET / 4),
      times: new Float64Array(state, index * STATE_BYTES + TIMES_OFFSET, 2),
    }));
    const orders = host.memory.view(STORM_ORDERS, vcpus.length * ORDER_BYTES);
    this.#orders = vcpus.map(
      index => new Int32Array(orders.buffer, orders.byteOffset + index * ORDER_BYTES, ORDER_BYTES / 4),
    );
  }

  /** Resolves when all vCPUs sleep in their gates for the first time. @throws `ERR_LAB_ACTOR` */
  arrived(): Promise<void> {
    return this.#over(0);
  }

  get memory(): KvmMemory {
    return this.#host.memory;
  }

  /** Every vCPU carries out its order. Resolves with nanoseconds from the first one's start to the last one's end. @throws `ERR_LAB_ACTOR` */
  async run(orderOf: (vcpu: number) => StormOrder): Promise<number> {
    this.start(orderOf);
    return this.finish();
  }

  /** Starts all vCPUs and returns at once. */
  start(orderOf: (vcpu: number) => StormOrder): void {
    this.#round += 1;
    this.#orders.forEach((words, vcpu) => {
      writeOrder(words, orderOf(vcpu));
    });
    for (const { words } of this.#states) {
      Atomics.store(words, STATE.ROUND, this.#round);
      Atomics.notify(words, STATE.ROUND);
    }
  }

  /** Ends 'load' orders and waits for all vCPUs; as run(). */
  async finish(): Promise<number> {
    for (const words of this.#orders) Atomics.store(words, ORDER.STOP, 1);
    await this.#over(this.#round);
    const times = this.#states.map(state => state.times);
    const start = Math.min(...times.map(pair => pair[TIMES.START] ?? Number.NaN));
    return Math.max(...times.map(pair => pair[TIMES.END] ?? Number.NaN)) - start;
  }

  /** Of the last 'touch': how many of its accesses were stores, vCPU by vCPU. */
  stored(): number[] {
    return this.#orders.map(words => Atomics.load(words, ORDER.STORED) >>> 0);
  }

  /** Of the present 'load': resolves when every vCPU has made two stores since: the second began after the call. @throws `ERR_LAB_ACTOR` after 60 s without */
  async loading(): Promise<void> {
    const before = this.#loaded();
    // Two: the second one began after the call.
    const goesOn = () => this.#loaded().every((stores, vcpu) => (stores - (before[vcpu] ?? 0)) >>> 0 >= 2);
    await pollUntil(goesOn, this.#host.failed, 'a vCPU made no store');
  }

  /** Stores of the present 'load' so far (modulo 2^32), vCPU by vCPU. */
  #loaded(): number[] {
    return this.#orders.map(words => Atomics.load(words, ORDER.LOADED) >>> 0);
  }

  /** Writes that the sink has counted so far (modulo 2^32), vCPU by vCPU. */
  counted(): number[] {
    return this.#states.map(({ words }) => Atomics.load(words, STATE.COUNTED) >>> 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const words of this.#orders) Atomics.store(words, ORDER.STOP, 1);
    for (const { words } of this.#states) {
      Atomics.store(words, STATE.ROUND, ROUND_OVER);
      Atomics.notify(words, STATE.ROUND);
    }
    await this.#host[Symbol.asyncDispose]();
  }

  /** DONE is round + 1 once the vCPU sleeps in its gate after that round. */
  async #over(round: number): Promise<void> {
    for (const { words } of this.#states) {
      for (let done = Atomics.load(words, STATE.DONE); done !== round + 1; done = Atomics.load(words, STATE.DONE)) {
        const woken = await Promise.race([
          Atomics.waitAsync(words, STATE.DONE, done, ROUND_MS_MAX).value,
          this.#host.failed,
        ]);
        if (woken === 'timed-out') {
          throw new HypervisorError('ERR_LAB_ACTOR', `a vCPU did not end its order within ${ROUND_MS_MAX} ms`);
        }
      }
    }
  }
}

const stormImage = () => flat(stormCode(), { at: STORM_CODE, mode: 64, cpl: 3 });

/** The machine on `host`, started, with its vCPUs in their gates. Closes the host when that fails. */
async function opened(host: Host, state: SharedArrayBuffer, start: () => Promise<void>): Promise<StormMachine> {
  const machine = new StormMachine(host, state);
  try {
    await start();
    await machine.arrived();
    return machine;
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
}

/** Loads an image while there is memory in that place: its tables map the memory that they find. */
async function withPlace<T>(memory: KvmMemory, place: StormOptions['place'], load: () => Promise<T>): Promise<T> {
  if (place === undefined) return load();
  memory.addRegion(place.at, place.bytes);
  const loaded = await load();
  memory.removeRegion(place.at);
  return loaded;
}

/** `bytes` from STORM_DATA on in so many neighbouring regions, a slot each. */
function addSlots(memory: KvmMemory, { bytes, slots }: { readonly bytes: number; readonly slots: number }): void {
  const pages = bytes / PAGE_SIZE;
  for (let slot = 0; slot < slots; slot++) {
    const first = Math.floor((pages * slot) / slots);
    const end = Math.floor((pages * (slot + 1)) / slots);
    memory.addRegion(STORM_DATA + first * PAGE_SIZE, (end - first) * PAGE_SIZE, { prefault: true });
  }
}

function writeOrder(words: Int32Array, order: StormOrder): void {
  words.fill(0);
  words[ORDER.COUNT] = 1;
  if (order.kind === 'touch' || order.kind === 'load') {
    words[ORDER.MASK] = order.pages - 1;
    words[ORDER.FIRST] = STORM_DATA / PAGE_SIZE + order.firstPage;
  }
  if (order.kind === 'touch') {
    words[ORDER.COUNT] = order.pages;
    words[ORDER.SEED] = order.seed;
    words[ORDER.THRESHOLD] = Math.max(0, Math.round(order.writes * 2 ** 32) - 1);
  } else {
    // What a load stores lies where the others have their count.
    words[ORDER.COUNT] = order.kind === 'load' ? order.value : order.count;
  }
  words[ORDER.KIND] = ORDER_KINDS[order.kind];
}
