// The API of guest memory: what the library's read, write, readObj and writeObj take, beside rust-vmm's vm-memory where it is installed.
// Main thread.

import { assertNever } from '../../../../shared/errors.ts';
import { u32le } from '../../../../shared/layout.ts';
import { KIB, MIB, PAGE_SIZE } from '../../../../shared/units.ts';
import { KvmMemory } from '../../memory/kvm-memory.ts';
import { requireResult } from '../machines/guest-mixes.ts';
import { peerOpener } from '../peers/peer.ts';
import { columnOf, findVmMemory, type MemoryOperation, VmMemoryPeer } from '../peers/vm-memory.ts';
import type { LabContext, OpenVariant, Variant, Workload } from '../workload.ts';

const BYTES_MIN = 64 * KIB;
const BYTES_MAX = 256 * MIB;
const BLOCK = PAGE_SIZE;
const WORD = 4;

interface ApiCase {
  readonly operation: MemoryOperation;
  readonly bytes: number;
  readonly tracked: boolean;
}

export const memoryApi: Workload = {
  suite: 'api',
  name: 'memory',
  title: "guest memory by the library's API, beside rust-vmm's vm-memory",
  model:
    'One JavaScript thread goes through guest memory in order: read() and write() by blocks of 4 KiB, readObj() and writeObj() by words of 32 bits; with tracking ' +
    "'on' each write also records its page (source 'host'; vm-memory: AtomicBitmap). vm-memory does the same from Rust in a process of its own, on memory of its own. " +
    'Blocks are limited by copying; words by what finding the region and checking the address costs. A typed array over the memory (view()) costs less than ' +
    'either, and is what the stream suite measures. There is no C column: C has no such API.',
  kinds: ['js'],
  variants(context) {
    const bytes = context.scenario.sizes.filter(size => size >= BYTES_MIN && size <= BYTES_MAX);
    if (bytes.length === 0) {
      context.skip('api/memory', 'no size from 64K to 256M in the scenario');
      return [];
    }
    const largest = Math.max(...bytes);
    const operations: readonly MemoryOperation[] = ['read', 'write', 'read-obj', 'write-obj'];
    return operations.flatMap(operation =>
      [false, true]
        // What is only read is not tracked.
        .filter(tracked => !tracked || operation.startsWith('write'))
        .map(tracked => apiVariant(context, { operation, bytes: largest - (largest % BLOCK), tracked })),
    );
  },
};

function apiVariant(context: LabContext, each: ApiCase): Variant {
  const { operation, bytes, tracked } = each;
  const isObject = operation.endsWith('obj');
  return {
    suite: 'api',
    workload: 'memory',
    actors: 'js:1',
    count: 1,
    parameters: { operation, bytes, block: isObject ? WORD : BLOCK, tracking: tracked ? 'on' : 'off' },
    unit: isObject ? 'ns' : 'GB/s',
    better: isObject ? 'lower' : 'higher',
    open: async () => openOurs(each),
    peers: peersOf(context, each),
  };
}

function peersOf(context: LabContext, each: ApiCase): NonNullable<Variant['peers']> {
  if (!context.scenario.peers) return {};
  const installed = findVmMemory();
  if (!installed.found) {
    context.skip('peer vm-memory', installed.reason);
    return {};
  }
  const open = async () => {
    const peer = await VmMemoryPeer.open(installed, each);
    return repeating(
      each,
      (block, passes) => peer.run(each.operation, block, passes),
      () => peer[Symbol.asyncDispose](),
    );
  };
  return { [columnOf(installed.crate)]: peerOpener(context, 'vm-memory', open) };
}

interface Passed {
  readonly ns: number;
  /** Of the last pass: bytes written, or of what was read. */
  readonly sum: number;
}

/** Repetitions of passes over all of the memory, whose sums are checked. */
function repeating(
  { operation, bytes }: ApiCase,
  run: (block: number, passes: number) => Promise<Passed> | Passed,
  close: () => Promise<void>,
): OpenVariant {
  const isObject = operation.endsWith('obj');
  const block = isObject ? WORD : BLOCK;
  const expected = expectedSum(operation, bytes);
  let lastNs = 0;
  return {
    get lastNs() {
      return lastNs;
    },
    async repeat(scale) {
      const passes = Math.ceil(scale);
      const { ns, sum } = await run(block, passes);
      lastNs = ns;
      requireResult(sum === expected, () => `${operation} of ${bytes} bytes gave the sum ${sum}, not ${expected}`);
      return { value: isObject ? (ns * WORD) / (bytes * passes) : (bytes * passes) / ns };
    },
    [Symbol.asyncDispose]: close,
  };
}

/** Words hold their indices. */
function expectedSum(operation: MemoryOperation, bytes: number): number {
  const words = bytes / WORD;
  if (operation === 'read-obj') return (words * (words - 1)) / 2;
  if (operation !== 'read') return bytes;
  let sum = 0;
  for (let word = BLOCK / WORD - 1; word < words; word += BLOCK / WORD) sum += (word >>> 8) & 0xff;
  return sum;
}

function openOurs(each: ApiCase): OpenVariant {
  const { operation, bytes, tracked } = each;
  const memory = new KvmMemory(bytes, { prefault: true });
  const words = memory.view(0, bytes);
  new Uint32Array(words.buffer, words.byteOffset, bytes / WORD).forEach((_, index, all) => {
    all[index] = index;
  });
  if (tracked) memory.enableDirtyTracking({ source: 'host' });
  const pass = passOf(memory, operation, bytes);
  const run = (_block: number, passes: number): Passed => {
    let sum = 0;
    const start = process.hrtime.bigint();
    for (let i = 0; i < passes; i++) sum = pass(i);
    return { ns: Number(process.hrtime.bigint() - start), sum };
  };
  return repeating(each, run, async () => memory[Symbol.dispose]());
}

/** One pass over the memory; its sum. */
function passOf(memory: KvmMemory, operation: MemoryOperation, bytes: number): (pass: number) => number {
  const buffer = new Uint8Array(BLOCK);
  switch (operation) {
    case 'write':
      return pass => {
        let sum = 0;
        for (let at = 0; at < bytes; at += BLOCK) {
          buffer[0] = pass;
          memory.write(at, buffer);
          sum += BLOCK;
        }
        return sum;
      };
    case 'read':
      return () => {
        let sum = 0;
        for (let at = 0; at < bytes; at += BLOCK) {
          memory.read(at, buffer);
          sum += buffer[BLOCK - 3] ?? 0;
        }
        return sum;
      };
    case 'write-obj':
      return () => {
        let sum = 0;
        for (let at = 0; at < bytes; at += WORD) {
          memory.writeObj(at, u32le, at / WORD);
          sum += WORD;
        }
        return sum;
      };
    case 'read-obj':
      return () => {
        let sum = 0;
        for (let at = 0; at < bytes; at += WORD) sum += memory.readObj(at, u32le);
        return sum;
      };
    default:
      return assertNever(operation);
  }
}
