// Sequential and strided work on arrays: read, write, copy, triad (the four of STREAM, with a pure read and write for its scale and add), and strided reads.
// Main thread. The arrays are the same for any number of actors, who share them out: variants of a group find what the one before left.

import type { Scenario } from '../scenario.ts';
import type { ActorResult, Team } from '../workload.ts';
import {
  type Case,
  expectOps,
  expectResult,
  type Job,
  kernelWorkload,
  rateMops,
  resultAt,
  share,
  spanNs,
} from './kernel-workload.ts';
import { layPattern, patternSum } from './pattern.ts';

const WORD = 8;
/** Actors' parts begin and end at cache lines. */
const LINE = 64;
/** Words of each actor's part that are looked at after a repetition. */
const SAMPLES = 64;

/** An actor's part of the arrays. */
interface Part {
  /** Offset in each array, bytes. */
  readonly offset: number;
  readonly bytes: number;
}

/** `arrays` equal arrays in `size` bytes, in whole lines; and who has which part of each. */
function divide(size: number, arrays: number, count: number): { readonly bytes: number; readonly parts: Part[] } {
  const lines = Math.floor(size / arrays / LINE);
  const parts = Array.from({ length: count }, (_, rank) => {
    const { first, end } = share(lines, count, rank);
    return { offset: first * LINE, bytes: (end - first) * LINE };
  });
  return { bytes: lines * LINE, parts };
}

/** Gigabytes (10^9) per second, when each operation moved so many bytes. */
function rateGb(results: readonly ActorResult[], bytesPerOp: number): number {
  return (results.reduce((sum, { ops }) => sum + ops, 0) * bytesPerOp) / spanNs(results);
}

/** Which words of a part are looked at: both ends and, spread over it, others. */
function sampledWords(part: Part): number[] {
  const first = part.offset / WORD;
  const last = part.bytes / WORD - 1;
  return Array.from({ length: SAMPLES }, (_, sample) => first + Math.floor((last * sample) / (SAMPLES - 1)));
}

/** A case per size; the pattern is laid out before each repetition, unless it is there still. */
function casesBySize(workload: string, open: (team: Team, size: number, count: number) => Job) {
  return ({ sizes }: Scenario): Case[] =>
    sizes.map(size => ({
      parameters: { bytes: size },
      open: (team, count) => {
        const job = open(team, size, count);
        return {
          prepare: scale => {
            layPattern(team, `${workload}/${size}`, size);
            return job.prepare(scale);
          },
          finish: results => job.finish(results),
        };
      },
    }));
}

function openRead(team: Team, size: number, count: number): Job {
  const { parts } = divide(size, 1, count);
  const sums = parts.map(({ offset, bytes }) => patternSum(offset / WORD, bytes / WORD));
  let passes = 0;
  return {
    prepare(scale) {
      passes = scale;
      return parts.map(({ offset, bytes }) => ({ kernel: 'read', params: [team.data.at + offset, bytes, passes] }));
    },
    finish(results) {
      expectOps(
        'read',
        results,
        parts.map(({ bytes }) => (bytes / WORD) * passes),
      );
      for (const [rank, sum] of sums.entries()) expectResult('sum of what was read', resultAt(results[rank], 1), sum);
      return rateGb(results, WORD);
    },
  };
}

function openWrite(team: Team, size: number, count: number): Job {
  const { parts } = divide(size, 1, count);
  const halves = new Uint32Array(team.buffer, team.data.at, size / 4);
  let passes = 0;
  let value = 0;
  return {
    prepare(scale) {
      passes = scale;
      // Another one than before, so that words that were not written show.
      value = (value + 0x0101_0101) >>> 0;
      return parts.map(({ offset, bytes }) => ({
        kernel: 'write',
        params: [team.data.at + offset, bytes, passes, value],
      }));
    },
    finish(results) {
      expectOps(
        'write',
        results,
        parts.map(({ bytes }) => (bytes / WORD) * passes),
      );
      for (const word of parts.flatMap(sampledWords)) {
        expectResult(`word ${word}, written`, halves[2 * word] ?? 0, value);
        expectResult(`word ${word}, upper half, written`, halves[2 * word + 1] ?? 0, value);
      }
      return rateGb(results, WORD);
    },
  };
}

function openCopy(team: Team, size: number, count: number): Job {
  const { bytes: arrayBytes, parts } = divide(size, 2, count);
  const words = new BigUint64Array(team.buffer, team.data.at, (2 * arrayBytes) / WORD);
  const sampled = parts.flatMap(sampledWords);
  let passes = 0;
  return {
    prepare(scale) {
      passes = scale;
      for (const word of sampled) words[word] = 0n;
      const { at } = team.data;
      return parts.map(({ offset, bytes }) => ({
        kernel: 'copy',
        params: [at + offset, bytes, passes, at + arrayBytes + offset],
      }));
    },
    finish(results) {
      expectOps(
        'copy',
        results,
        parts.map(({ bytes }) => (bytes / WORD) * passes),
      );
      for (const word of sampled)
        expectResult(`word ${word}, copied`, words[word] ?? 0n, words[arrayBytes / WORD + word] ?? 1n);
      return rateGb(results, 2 * WORD);
    },
  };
}

function openTriad(team: Team, size: number, count: number): Job {
  const { bytes: arrayBytes, parts } = divide(size, 3, count);
  const numbers = new Float64Array(team.buffer, team.data.at, (3 * arrayBytes) / WORD);
  const bits = new BigUint64Array(team.buffer, team.data.at, numbers.length);
  const expected = new Float64Array(1);
  const expectedBits = new BigUint64Array(expected.buffer);
  const sampled = parts.flatMap(sampledWords);
  const array = arrayBytes / WORD;
  let passes = 0;
  return {
    prepare(scale) {
      passes = scale;
      for (const word of sampled) numbers[word] = 0;
      const { at } = team.data;
      return parts.map(({ offset, bytes }) => ({
        kernel: 'triad',
        params: [at + offset, bytes, passes, at + arrayBytes + offset, at + 2 * arrayBytes + offset],
      }));
    },
    finish(results) {
      expectOps(
        'triad',
        results,
        parts.map(({ bytes }) => (bytes / WORD) * passes),
      );
      for (const word of sampled) {
        // Rounded twice, as all actors do: none of them fuses the product into the sum.
        expected[0] = (numbers[array + word] ?? 0) + 3 * (numbers[2 * array + word] ?? 0);
        expectResult(`word ${word} of triad`, bits[word] ?? 0n, expectedBits[0] ?? 1n);
      }
      return rateGb(results, 3 * WORD);
    },
  };
}

/** Bytes between reads: a line, so that each is fetched for one word; a page, so that each needs its own translation as well. */
const STRIDES = [64, 4096];

function stridedCase(size: number, stride: number): Case {
  const elements = Math.floor(size / stride);
  return {
    parameters: { bytes: size, stride },
    unfit: count => (elements < count ? `${size} bytes are fewer than ${count} strides of ${stride}` : undefined),
    open(team, count) {
      const parts = Array.from({ length: count }, (_, rank) => share(elements, count, rank));
      const step = stride / WORD;
      const sums = parts.map(({ first, end }) => patternSum(first * step, end - first, step));
      let passes = 0;
      return {
        prepare(scale) {
          layPattern(team, `stream/strided/${size}`, size);
          passes = scale;
          return parts.map(({ first, end }) => ({
            kernel: 'strided',
            params: [team.data.at + first * stride, (end - first) * stride, passes, stride],
          }));
        },
        finish(results) {
          expectOps(
            'strided',
            results,
            parts.map(({ first, end }) => (end - first) * passes),
          );
          for (const [rank, sum] of sums.entries())
            expectResult('sum of what was read in strides', resultAt(results[rank], 1), sum);
          return rateMops(results);
        },
      };
    },
  };
}

const STREAM = { suite: 'stream', unit: 'GB/s', better: 'higher' } as const;
const SHARED_OUT =
  'Each actor has a part of its own of one array of arrays, in whole cache lines. Bytes count as STREAM counts them: those that the program reads and writes, not the lines that the processor fetches before it overwrites them.';

export const streamWorkloads = [
  kernelWorkload({
    ...STREAM,
    name: 'read',
    title: 'sequential sum of 64-bit words',
    model: `The bandwidth of reading: all words are added up, several sums at once. ${SHARED_OUT} Sizes within a cache measure that cache and how wide the loads of a language are; sizes beyond the last cache measure memory, where two actors share one bus.`,
    cases: casesBySize('stream/read', openRead),
  }),
  kernelWorkload({
    ...STREAM,
    name: 'write',
    title: 'sequential stores of one value',
    model: `The bandwidth of ordinary stores. ${SHARED_OUT} Beyond the caches every line is read before it is overwritten, so that the memory moves twice what the figure says. It says nothing of non-temporal stores: no actor uses them by itself.`,
    cases: casesBySize('stream/write', openWrite),
  }),
  kernelWorkload({
    ...STREAM,
    name: 'copy',
    title: 'copy of one array to another',
    model: `What the best copy of each language moves: memcpy, memory.copy, TypedArray.copyWithin. ${SHARED_OUT} C libraries use non-temporal stores or string instructions from some size on, and others may not: that is then the difference seen.`,
    cases: casesBySize('stream/copy', openCopy),
  }),
  kernelWorkload({
    ...STREAM,
    name: 'triad',
    title: "a[i] = b[i] + 3 * c[i] on doubles, STREAM's triad",
    model: `Two streams of loads, one of stores, and arithmetic. ${SHARED_OUT} Beyond the caches memory limits all actors alike; within them vector width does: JavaScript has no vectors.`,
    cases: casesBySize('stream/triad', openTriad),
  }),
  kernelWorkload({
    ...STREAM,
    unit: 'Mops/s',
    name: 'strided',
    title: 'reads of one word in each stride',
    model:
      'Independent reads at a constant distance, all actors together: what prefetchers and the tables of translations make of it. A stride of 64 uses one word of each line, one of 4096 also needs a translation for each. Large pages under the arena change the second a lot: compare only runs on the same backing.',
    cases: ({ sizes }) => sizes.flatMap(size => STRIDES.map(stride => stridedCase(size, stride))),
  }),
];
