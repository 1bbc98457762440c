// 8-byte accesses by guest physical address: KvmMemory against a bounds-checked region look-up in C++ (bench/native/memory.cc).
// The addresses come from the same generator on both sides, and the sums of what was read must agree. Main thread.

import { f64le, KvmMemory, u64le } from 'node-kvm';
import type { Baseline } from './baseline.ts';
import type { Measure, Part } from './rounds.ts';

/** Small enough for the second-level cache: the look-up is measured, not the memory behind it. */
const REGION = 16384;
const ADDRESSES = 4096;

/** As in memory.cc: `count` regions with a hole of the same size after each, addresses all over them in random order. */
function addresses(regions: number): readonly number[] {
  const list: number[] = [];
  let random = 1;
  const next = () => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return random >>> 8;
  };
  for (let i = 0; i < ADDRESSES; i += 1) {
    const region = next() % regions;
    list.push(region * 2 * REGION + (next() % (REGION / 8)) * 8);
  }
  return list;
}

function mapRegions(regions: number, tracking: boolean): KvmMemory {
  const memory = new KvmMemory(REGION);
  for (let i = 1; i < regions; i += 1) memory.addRegion(i * 2 * REGION, REGION);
  if (tracking) memory.enableDirtyTracking();
  return memory;
}

// One function for each kind of loop, so that each has its own type feedback, as the loops of an application would.
// The library's own feedback is shared by all of them, also as in an application.

function readU64(memory: KvmMemory, list: readonly number[], passes: number): bigint {
  // The sum lies in an array: as a variable it would be a new bigint for each read, the loop's cost and not the read's.
  const sum = new BigUint64Array(1);
  for (let pass = 0; pass < passes; pass += 1) {
    for (let i = 0; i < list.length; i += 1) sum[0] = (sum[0] as bigint) + memory.readObj(list[i] as number, u64le);
  }
  return sum[0] as bigint;
}

function writeU64(memory: KvmMemory, list: readonly number[], passes: number): void {
  for (let pass = 0; pass < passes; pass += 1) {
    // One value for each pass: making a bigint is the caller's cost, and not what is measured.
    const value = BigInt(pass);
    for (let i = 0; i < list.length; i += 1) memory.writeObj(list[i] as number, u64le, value);
  }
}

function readF64(memory: KvmMemory, list: readonly number[], passes: number): number {
  let sum = 0;
  for (let pass = 0; pass < passes; pass += 1) {
    for (let i = 0; i < list.length; i += 1) sum += memory.readObj(list[i] as number, f64le);
  }
  return sum;
}

function writeF64(memory: KvmMemory, list: readonly number[], passes: number): void {
  for (let pass = 0; pass < passes; pass += 1) {
    // A fraction: whole numbers would be kept as integers, which no user of floats has.
    const value = pass + 0.5;
    for (let i = 0; i < list.length; i += 1) memory.writeObj(list[i] as number, f64le, value);
  }
}

function addU64(memory: KvmMemory, list: readonly number[], passes: number): bigint {
  const sum = new BigUint64Array(1);
  for (let pass = 0; pass < passes; pass += 1) {
    for (let i = 0; i < list.length; i += 1) {
      sum[0] = (sum[0] as bigint) + memory.atomics.add(list[i] as number, u64le, 1n);
    }
  }
  return sum[0] as bigint;
}

interface Operation {
  readonly label: string;
  readonly command: readonly string[];
  /** 'twice as fast' is the goal of plain reads and writes; atomics are the processor's cost first of all. */
  readonly goal: boolean;
  /** What was read, to be compared. */
  run(memory: KvmMemory, list: readonly number[], passes: number): bigint;
}

const OPERATIONS: readonly Operation[] = [
  {
    label: 'writeObj f64le',
    command: ['words-write', 'full', 'f64'],
    goal: true,
    run: (memory, list, passes) => {
      writeF64(memory, list, passes);
      return 0n;
    },
  },
  {
    label: 'readObj f64le',
    command: ['words-read', 'full', 'f64'],
    goal: true,
    run: (...args) => BigInt(Math.trunc(readF64(...args))),
  },
  {
    label: 'writeObj f64le, lean C++',
    command: ['words-write', 'lean', 'f64'],
    goal: false,
    run: (memory, list, passes) => {
      writeF64(memory, list, passes);
      return 0n;
    },
  },
  {
    label: 'readObj f64le, lean C++',
    command: ['words-read', 'lean', 'f64'],
    goal: false,
    run: (...args) => BigInt(Math.trunc(readF64(...args))),
  },
  {
    label: 'writeObj u64le',
    command: ['words-write', 'full', 'u64'],
    goal: true,
    run: (memory, list, passes) => {
      writeU64(memory, list, passes);
      return 0n;
    },
  },
  { label: 'readObj u64le', command: ['words-read', 'full', 'u64'], goal: true, run: readU64 },
  { label: 'atomics.add u64le', command: ['words-add'], goal: false, run: addU64 },
];

const SHAPES = [
  { regions: 1, tracking: false },
  { regions: 1, tracking: true },
  { regions: 16, tracking: false },
  { regions: 16, tracking: true },
] as const;

/** Maps the memories of both sides. */
export async function openMemory(baseline: Baseline, quick: boolean): Promise<Part> {
  const memories: KvmMemory[] = [];
  const measures: Measure[] = [];
  // Rounds of a fraction of a millisecond: most are over before the scheduler gives the processor to somebody else.
  const passes = 5;
  const operations = passes * ADDRESSES;
  for (const { regions, tracking } of SHAPES) {
    const memory = mapRegions(regions, tracking);
    memories.push(memory);
    const list = addresses(regions);
    const name = `${regions}-${tracking}`;
    await baseline.run('memory-open', name, regions, REGION, tracking ? 1 : 0, ADDRESSES);
    for (const { label, command, goal, run } of OPERATIONS) {
      const [verb = '', ...type] = command;
      // Both sides run the same rounds, though not in the same order: their k-th sums are those that must agree.
      const sums: bigint[][] = [[], []];
      const agree = (side: 0 | 1, round: number, sum: bigint) => {
        (sums[side] ?? [])[round] = sum;
        const other = sums[1 - side]?.[round];
        if (other !== undefined && other !== sum) throw new Error(`${label}: the sides read ${sum} and ${other}`);
      };
      measures.push({
        group: `8 bytes by gpa, ${regions === 1 ? '1 region' : `${regions} regions`}, dirty tracking ${tracking ? 'on' : 'off'}`,
        name: label,
        unit: 'ns',
        ...(goal ? { goal: { ratio: 0.5 } } : {}),
        rounds: quick ? 50 : 400,
        warmup: quick ? 50 : 150,
        ours: round => {
          const start = process.hrtime.bigint();
          const sum = run(memory, list, passes);
          const nanoseconds = Number(process.hrtime.bigint() - start);
          agree(0, round, BigInt.asUintN(64, sum));
          return nanoseconds / operations;
        },
        theirs: async round => {
          const { nanoseconds, check } = await baseline.run(verb, name, ...type, passes);
          agree(1, round, check);
          return nanoseconds / operations;
        },
      });
    }
  }
  return {
    measures,
    async [Symbol.asyncDispose]() {
      for (const memory of memories) memory[Symbol.dispose]();
    },
  };
}
