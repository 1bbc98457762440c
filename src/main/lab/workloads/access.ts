// Accesses that no prefetcher foresees: independent ones at random places, and a chain of which each link must be there before the next is known.
// Main thread. Each repetition goes elsewhere: one that came back to the places of the one before would find them in a cache.

import { seededRandom } from '../statistics.ts';
import type { Team } from '../workload.ts';
import {
  type Case,
  expectOps,
  expectResult,
  forgetLayout,
  type Job,
  kernelWorkload,
  layOutOnce,
  rateMops,
  resultAt,
} from './kernel-workload.ts';
import { layPattern, patternSumAt } from './pattern.ts';

const WORD = 8;
const LINE = 64;
/** Accesses, or links, per unit of scale. */
const UNIT = 1000;
/** Of 256 accesses so many are stores. */
const WRITES = [0, 64];
/** The last so many accesses of an actor are looked at for stores. */
const LAST = 4096;

/** xorshift32, as the kernels have it: each call gives the next state. Never 0. */
function xorshift(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x;
  };
}

/** The word that an actor's last stores must have left at each place that they went to. */
function lastStores(seed: number, count: number, mask: number, writes: number): Map<number, number> {
  const next = xorshift(seed);
  const stores = new Map<number, number>();
  for (let i = 0; i < count; i += 1) {
    const x = next();
    if (i < count - LAST) continue;
    if (Math.imul(x, 0x9e37_79b1) >>> 24 < writes) stores.set((x & mask) >>> 0, i);
  }
  return stores;
}

function openRandom(team: Team, size: number, writes: number, actors: number, seed: number): Job {
  // A power of two for each, which the kernel's mask needs.
  const words = 2 ** Math.floor(Math.log2(size / actors / WORD));
  const mask = words - 1;
  const random = seededRandom(seed);
  const memory = new BigUint64Array(team.buffer, team.data.at, words * actors);
  let seeds: number[] = [];
  let count = 0;
  return {
    prepare(scale) {
      if (writes === 0) layPattern(team, `access/random/${size}`, size);
      else forgetLayout(team);
      count = scale * UNIT;
      seeds = Array.from({ length: actors }, () => 1 + Math.floor(random() * (2 ** 32 - 1)));
      return seeds.map((start, rank) => ({
        kernel: 'random',
        params: [team.data.at + rank * words * WORD, words * WORD, count, start, writes],
      }));
    },
    finish(results) {
      expectOps(
        'random',
        results,
        seeds.map(() => count),
      );
      for (const [rank, start] of seeds.entries()) {
        const first = rank * words;
        if (writes === 0) {
          const next = xorshift(start);
          const sum = patternSumAt(count, () => first + ((next() & mask) >>> 0));
          expectResult('sum of what was read at random', resultAt(results[rank], 1), sum);
        } else {
          for (const [place, index] of lastStores(start, count, mask, writes))
            expectResult(`word ${first + place}, stored at random`, memory[first + place] ?? 0n, index);
        }
      }
      return rateMops(results);
    },
  };
}

/** A cycle through all lines of the data, in the order in which it goes, and the link that is the next to begin at. */
interface Chain {
  readonly order: Uint32Array;
  next: number;
}

const chains = new WeakMap<SharedArrayBuffer, Chain>();

function chainIn(team: Team, size: number, seed: number): Chain {
  layOutOnce(team, `access/chase/${size}`, () => chains.set(team.buffer, layChain(team, size, seed)));
  const chain = chains.get(team.buffer);
  if (chain === undefined) throw new RangeError('the arena has a layout without its chain');
  return chain;
}

function layChain(team: Team, size: number, seed: number): Chain {
  const order = Uint32Array.from({ length: size / LINE }, (_, line) => line);
  const random = seededRandom(seed);
  for (let left = order.length; left > 1; left -= 1) {
    const other = Math.floor(random() * left);
    const line = order[left - 1] ?? 0;
    order[left - 1] = order[other] ?? 0;
    order[other] = line;
  }
  const words = new Uint32Array(team.buffer, team.data.at, size / 4);
  for (let link = 0, line = order.at(-1) ?? 0; link < order.length; link += 1) {
    const to = order[link] ?? 0;
    words[(line * LINE) / 4] = team.data.at + to * LINE;
    line = to;
  }
  return { order, next: 0 };
}

function openChase(team: Team, size: number, actors: number, seed: number): Job {
  let ends: number[] = [];
  let count = 0;
  return {
    prepare(scale) {
      const chain = chainIn(team, size, seed);
      const links = chain.order.length;
      const placeOf = (link: number) => team.data.at + (chain.order[link % links] ?? 0) * LINE;
      count = scale * UNIT;
      // Each has a piece of the cycle of its own, as long as the pieces fit; the next repetition goes on where the last piece ends.
      const starts = Array.from({ length: actors }, (_, rank) => (chain.next + rank * count) % links);
      chain.next = (chain.next + actors * count) % links;
      ends = starts.map(start => placeOf(start + count));
      return starts.map(start => ({ kernel: 'chase', params: [placeOf(start), count] }));
    },
    finish(results) {
      expectOps(
        'chase',
        results,
        ends.map(() => count),
      );
      for (const [rank, end] of ends.entries()) expectResult('end of the chain', resultAt(results[rank], 1), end);
      return results.reduce((sum, { ns }) => sum + ns, 0) / (count * results.length);
    },
  };
}

export const accessWorkloads = [
  kernelWorkload({
    suite: 'access',
    name: 'random',
    title: 'independent reads and writes of words at random places',
    model:
      'Accesses per second of all actors together, each in a part of its own. Places come from a xorshift generator, so that many misses can be under way at once: this is the throughput of misses, not their latency. `writes` of 256 accesses are stores. Includes the generator itself (about 2 ns), which limits the figure while the data fit into a cache.',
    unit: 'Mops/s',
    better: 'higher',
    cases: ({ sizes, seed }) =>
      sizes.flatMap(size =>
        WRITES.map(
          (writes): Case => ({
            parameters: { bytes: size, writes },
            open: (team, count) => openRandom(team, size, writes, count, seed),
          }),
        ),
      ),
  }),
  kernelWorkload({
    suite: 'access',
    name: 'chase',
    title: 'latency of one dependent load (pointer chase)',
    model:
      'Nanoseconds per link of a random cycle through all cache lines of the data: each address is known only when the load before is done. Gives the load-to-use latency of the level that the size fits into, with its address translation. All actors walk the same cycle, read-only, from different places: the mean over them. It says nothing of bandwidth.',
    unit: 'ns',
    better: 'lower',
    cases: ({ sizes, seed }) =>
      sizes.map(
        (size): Case => ({
          parameters: { bytes: size },
          open: (team, count) => openChase(team, size, count, seed),
        }),
      ),
  }),
];
