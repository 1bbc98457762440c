// The two sides of a dirty-tracking measure: memory of the library's, and the baseline's, each with a guest, host code and raw stores that
// dirty it, and a source that finds the pages again. Main thread.

import { readFileSync } from 'node:fs';
import { type DirtyTrackingOptions, deviceModule, flat, KvmMemory, u32le, VirtualMachine } from 'node-kvm';
import type { Baseline } from '../core/baseline.ts';
import { guestFailure } from '../core/exits.ts';
import {
  ALWAYS,
  CODE_ADDRESS,
  DATA_ADDRESS,
  type Pattern,
  WRITER_PORT_BYTES,
  WRITER_PORTS,
  WriterGate,
  writerCode,
  writerCodeHex,
} from './writer-guest.ts';

export const PAGE = 4096;
const CODE_MEMORY = 4 << 20;
const RING_ENTRIES = 65536;
/** As in bench/native/dirty.cc. */
const REHEARSALS = 30;

/** 'plain' and 'manual': KVM's log, cleared by GET or by CLEAR. */
export type SourceName = 'plain' | 'manual' | 'pagemap' | 'host' | 'ring';
export type WriterName = 'guest' | 'api' | 'raw';

const TRACKING: Record<SourceName, DirtyTrackingOptions> = {
  plain: { source: 'bitmap', log: 'plain' },
  manual: { source: 'bitmap', log: 'manual' },
  pagemap: { source: 'pagemap' },
  host: { source: 'host' },
  ring: { source: 'ring' },
};

export interface SideOptions {
  readonly source: SourceName;
  readonly bytes: number;
  /** 0: no KVM. */
  readonly vcpus: number;
  readonly slots?: number;
  readonly huge?: boolean;
  /** Commit all pages at once. Default true. */
  readonly populate?: boolean;
  /** Manual log: every page counts as dirty when tracking starts, and is write-protected by the first harvest (INITIALLY_SET). */
  readonly initiallyDirty?: boolean;
}

/** Nanoseconds, and what was found: pages and ranges of the last harvest. */
export interface Harvested {
  readonly nanoseconds: number;
  readonly pages: number;
  readonly ranges: number;
}

/** What a measure does with a side, whichever it is. Times in nanoseconds. */
export interface Side extends AsyncDisposable {
  start(): Promise<number>;
  stop(): Promise<number>;
  write(writer: WriterName, pattern: Pattern): Promise<number>;
  /** Guests of all vCPUs, see WriterGate.run(). */
  writeByGuests(pattern: Pattern, stride: number, threshold: number): Promise<number>;
  /** Fetch, clear, make ranges; `times` over. */
  harvest(times?: number): Promise<Harvested>;
  /** Every harvest from now on follows, without a pause, some of `other`'s, which are not timed; null: no more. */
  rehearseWith(other: this | null): void;
  /** Bytes of the memory that lie in transparent huge pages. */
  hugeBytes(): number;
}

/** The library's. */
export class Ours implements Side {
  readonly memory: KvmMemory;
  readonly #options: SideOptions;
  readonly #vm: VirtualMachine | undefined;
  readonly #gate: WriterGate;
  readonly #failed: Promise<never> | undefined;
  #words: Uint32Array | undefined;
  #other: Ours | null = null;

  static async open(options: SideOptions): Promise<Ours> {
    const gate = new WriterGate(options.vcpus);
    if (options.vcpus === 0) {
      const memory = new KvmMemory(CODE_MEMORY);
      addData(memory, options);
      return new Ours(options, memory, gate, undefined);
    }
    const device = deviceModule(new URL('dirty/writer-gate-device.js', import.meta.url), {
      name: 'orders',
      pio: { base: WRITER_PORTS, length: WRITER_PORT_BYTES },
      where: 'vcpu',
      state: gate.state,
    });
    const vm = await VirtualMachine.create({
      memory: CODE_MEMORY,
      vcpus: options.vcpus,
      engine: 'kvm',
      devices: [device],
      // The ring is chosen with the VM, and on at once.
      ...(options.source === 'ring' ? { dirtyTracking: { source: 'ring', ringEntries: RING_ENTRIES } } : {}),
    });
    if (options.source === 'ring') vm.memory.disableDirtyTracking();
    addData(vm.memory, options);
    await vm.load(flat(writerCode(), { at: CODE_ADDRESS, mode: 64, cpl: 3 }));
    await vm.start();
    const ours = new Ours(options, vm.memory, gate, vm);
    await ours.#unlessFailed(gate.arrived());
    return ours;
  }

  private constructor(options: SideOptions, memory: KvmMemory, gate: WriterGate, vm: VirtualMachine | undefined) {
    this.#options = options;
    this.memory = memory;
    this.#gate = gate;
    this.#vm = vm;
    this.#failed = vm === undefined ? undefined : guestFailure(vm);
  }

  async start(): Promise<number> {
    const { source, initiallyDirty = false } = this.#options;
    const options = { ...TRACKING[source], initially: initiallyDirty ? 'dirty' : 'clean' } as const;
    return timed(() => this.memory.enableDirtyTracking(options));
  }

  async stop(): Promise<number> {
    return timed(() => this.memory.disableDirtyTracking());
  }

  async write(writer: WriterName, pattern: Pattern): Promise<number> {
    if (writer === 'guest') return this.writeByGuests(pattern, 0, ALWAYS);
    if (writer === 'api') return timed(() => writeByApi(this.memory, pattern));
    this.#words ??= new Uint32Array(
      this.memory.regions().find(region => region.guestAddr === DATA_ADDRESS)?.buffer ?? new SharedArrayBuffer(0),
    );
    const words = this.#words;
    return timed(() => writeRaw(words, pattern));
  }

  writeByGuests(pattern: Pattern, stride: number, threshold: number): Promise<number> {
    return this.#unlessFailed(this.#gate.run(pattern, DATA_ADDRESS / PAGE, stride, threshold));
  }

  async harvest(times = 1): Promise<Harvested> {
    const other = this.#other;
    for (let i = 0; other !== null && i < REHEARSALS; i++) {
      other.memory.writeObj(DATA_ADDRESS, u32le, 1);
      harvestAll(() => other.memory.harvest(), 1);
    }
    return harvestAll(() => this.memory.harvest(), times);
  }

  rehearseWith(other: Ours | null): void {
    this.#other = other;
  }

  hugeBytes(): number {
    const { hostAddr, size } = this.memory.regions().find(region => region.guestAddr === DATA_ADDRESS) ?? {};
    return hostAddr === undefined || size === undefined ? 0 : hugeBytesOf(process.pid, hostAddr, size);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gate.open();
    this.#words = undefined;
    if (this.#vm === undefined) this.memory[Symbol.dispose]();
    else await this.#vm[Symbol.asyncDispose]();
  }

  #unlessFailed<T>(work: Promise<T>): Promise<T> {
    return this.#failed === undefined ? work : Promise.race([work, this.#failed]);
  }
}

function addData(memory: KvmMemory, { bytes, slots = 1, huge = false, populate = true }: SideOptions): void {
  const pages = bytes / PAGE;
  for (let slot = 0; slot < slots; slot++) {
    const first = Math.floor((pages * slot) / slots);
    const end = Math.floor((pages * (slot + 1)) / slots);
    memory.addRegion(DATA_ADDRESS + first * PAGE, (end - first) * PAGE, {
      hugePages: huge ? 'thp' : 'none',
      prefault: populate,
    });
  }
}

function timed(body: () => void): number {
  const start = process.hrtime.bigint();
  body();
  return Number(process.hrtime.bigint() - start);
}

function writeByApi(memory: KvmMemory, { count, seed, multiplier, increment, mask }: Pattern): void {
  let page = seed;
  for (let i = 0; i < count; i++) {
    page = (Math.imul(page, multiplier) + increment) & mask;
    memory.writeObj(DATA_ADDRESS + page * PAGE, u32le, i);
  }
}

function writeRaw(words: Uint32Array, { count, seed, multiplier, increment, mask }: Pattern): void {
  let page = seed;
  for (let i = 0; i < count; i++) {
    page = (Math.imul(page, multiplier) + increment) & mask;
    words[page * (PAGE / 4)] = i;
  }
}

/** A harvest as the benchmark needs it: of the memory, or of a cursor. */
export interface HarvestOf {
  rangeArray(): Float64Array;
  commit(): void;
}

/** `times` harvests, timed together; what the last one found is counted outside of the time. */
export function harvestAll(begin: () => HarvestOf, times: number): Harvested {
  let start = process.hrtime.bigint();
  for (let i = 1; i < times; i++) {
    const harvest = begin();
    harvest.rangeArray();
    harvest.commit();
  }
  const last = begin();
  const pairs = last.rangeArray();
  let nanoseconds = process.hrtime.bigint() - start;
  const found = countPairs(pairs);
  start = process.hrtime.bigint();
  last.commit();
  nanoseconds += process.hrtime.bigint() - start;
  return { nanoseconds: Number(nanoseconds), ...found };
}

/** Pages and ranges of the data: the guest's tables and code lie below. */
function countPairs(pairs: Float64Array): { pages: number; ranges: number } {
  let bytes = 0;
  let ranges = 0;
  for (let index = 0; index < pairs.length; index += 2) {
    if ((pairs[index] ?? 0) < DATA_ADDRESS) continue;
    bytes += pairs[index + 1] ?? 0;
    ranges += 1;
  }
  return { pages: bytes / PAGE, ranges };
}

/** The baseline's, by its commands. */
export class Theirs implements Side {
  static #count = 0;
  readonly #baseline: Baseline;
  readonly #name: string;
  readonly #bytes: number;
  readonly #hostAddr: bigint;
  #other: Theirs | null = null;

  static async open(baseline: Baseline, options: SideOptions): Promise<Theirs> {
    const { source, bytes, vcpus, slots = 1, huge = false, populate = true, initiallyDirty = false } = options;
    Theirs.#count += 1;
    const name = `memory-${Theirs.#count}`;
    const flags = [huge ? 1 : 0, populate ? 1 : 0];
    const words = [
      initiallyDirty ? 'manual-all' : source,
      bytes,
      slots,
      vcpus,
      RING_ENTRIES,
      ...flags,
      writerCodeHex(),
    ];
    const { check } = await baseline.run('dirty-open', name, ...words);
    return new Theirs(baseline, name, bytes, check);
  }

  private constructor(baseline: Baseline, name: string, bytes: number, hostAddr: bigint) {
    this.#baseline = baseline;
    this.#name = name;
    this.#bytes = bytes;
    this.#hostAddr = hostAddr;
  }

  start = () => this.#time('dirty-start');
  stop = () => this.#time('dirty-stop');
  /** KVM_GET_DIRTY_LOG of every slot, and KVM_CLEAR_DIRTY_LOG of all of them: the halves of a harvest with the manual log. */
  get = () => this.#time('dirty-get');
  clear = () => this.#time('dirty-clear');

  async write(writer: WriterName, pattern: Pattern): Promise<number> {
    if (writer === 'guest') return this.writeByGuests(pattern, 0, ALWAYS);
    return this.#time('dirty-host', writer, ...patternWords(pattern));
  }

  async writeByGuests(pattern: Pattern, stride: number, threshold: number): Promise<number> {
    return this.#time('dirty-guest', stride, ...patternWords(pattern), DATA_ADDRESS / PAGE, threshold);
  }

  async harvest(times = 1): Promise<Harvested> {
    const other = this.#other === null ? '-' : this.#other.#name;
    const { nanoseconds, check } = await this.#baseline.run('dirty-harvest', this.#name, times, other);
    return { nanoseconds, pages: Number(check >> 32n), ranges: Number(check & 0xffff_ffffn) };
  }

  rehearseWith(other: Theirs | null): void {
    this.#other = other;
  }

  hugeBytes(): number {
    return hugeBytesOf(this.#baseline.pid, this.#hostAddr, this.#bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#baseline.run('dirty-close', this.#name);
  }

  async #time(command: string, ...words: (string | number)[]): Promise<number> {
    return (await this.#baseline.run(command, this.#name, ...words)).nanoseconds;
  }
}

const patternWords = ({ count, seed, multiplier, increment, mask }: Pattern) => [
  count,
  seed,
  multiplier,
  increment,
  mask,
];

/** AnonHugePages of a process's mappings within a range. */
function hugeBytesOf(pid: number, hostAddr: bigint, bytes: number): number {
  let sum = 0;
  let isWithin = false;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range !== null) {
      const [from, to] = [BigInt(`0x${range[1]}`), BigInt(`0x${range[2]}`)];
      isWithin = from < hostAddr + BigInt(bytes) && to > hostAddr;
    } else if (isWithin && line.startsWith('AnonHugePages:')) {
      sum += Number(/\d+/.exec(line)?.[0] ?? 0) * 1024;
    }
  }
  return sum;
}
