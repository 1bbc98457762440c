// Words that actors fight for: atomic counters, counters that share a line or do not, a seqlock, a ticket lock. Main thread. What they leave is proof:
// a counter that lost an increment, or a torn read that passed for a whole one, ends the run.

import type { Team } from '../workload.ts';
import {
  type Case,
  expectOps,
  expectResult,
  forgetLayout,
  type Job,
  kernelWorkload,
  rateMops,
  resultAt,
  single,
  spanNs,
} from './kernel-workload.ts';

/** Operations of each actor per unit of scale. */
const UNIT = 100;
/** Two lines: processors fetch lines in pairs. */
const APART = 128;
const SEQLOCK_WORDS = 7;

/** The words at the start of the data, zeroed for a repetition. */
function zeroed(team: Team, words: Int32Array): void {
  forgetLayout(team);
  for (let index = 0; index < words.length; index += 1) Atomics.store(words, index, 0);
}

function openCounter(kernel: 'atomicAdd' | 'casAdd', team: Team, actors: number): Job {
  const word = new Int32Array(team.buffer, team.data.at, 1);
  let count = 0;
  return {
    prepare(scale) {
      zeroed(team, word);
      count = scale * UNIT;
      return Array.from({ length: actors }, () => ({ kernel, params: [team.data.at, count] }));
    },
    finish(results) {
      expectOps(kernel, results, Array(actors).fill(count));
      expectResult('the counter', Atomics.load(word, 0) >>> 0, (actors * count) % 2 ** 32);
      return rateMops(results);
    },
  };
}

function openIncrement(spacing: number, team: Team, actors: number): Job {
  const words = new Int32Array(team.buffer, team.data.at, (actors * spacing) / 4);
  let count = 0;
  return {
    prepare(scale) {
      zeroed(team, words);
      count = scale * UNIT;
      return Array.from({ length: actors }, (_, rank) => ({
        kernel: 'increment',
        params: [team.data.at + rank * spacing, count],
      }));
    },
    finish(results) {
      expectOps('increment', results, Array(actors).fill(count));
      for (let rank = 0; rank < actors; rank += 1)
        expectResult(`counter ${rank}`, Atomics.load(words, (rank * spacing) / 4) >>> 0, count);
      return rateMops(results);
    },
  };
}

/** The writer's share of the work is found while warming up: it should write for as long as the others read, and no longer. */
const WRITES_LEAST = 1 / 64;
const WRITES_MOST = 64;

function openSeqlock(team: Team, actors: number): Job {
  const words = new Int32Array(team.buffer, team.data.at, 1 + SEQLOCK_WORDS);
  let writesPerRead = 1;
  let writes = 0;
  let reads = 0;
  return {
    prepare(scale) {
      zeroed(team, words);
      reads = scale * UNIT;
      writes = Math.ceil(reads * writesPerRead);
      return Array.from({ length: actors }, (_, rank) =>
        rank === 0
          ? { kernel: 'seqlockWrite', params: [team.data.at, writes] }
          : { kernel: 'seqlockRead', params: [team.data.at, reads] },
      );
    },
    finish(results) {
      const [writer, ...readers] = results;
      expectOps('seqlockWrite', results.slice(0, 1), [writes]);
      for (const reader of readers) expectResult('torn reads that passed the seqlock', resultAt(reader, 1), 0);
      expectOps('seqlockRead', readers, Array(readers.length).fill(reads));
      expectResult('sequence of the seqlock', Atomics.load(words, 0) >>> 0, (2 * writes) % 2 ** 32);
      for (let word = 1; word <= SEQLOCK_WORDS; word += 1)
        expectResult('what the seqlock guards', Atomics.load(words, word) >>> 0, writes);
      const ratio = spanNs(readers) / Math.max(1, writer?.ns ?? 1);
      // By halves, so that one odd repetition does not turn it over.
      writesPerRead = Math.min(WRITES_MOST, Math.max(WRITES_LEAST, writesPerRead * Math.sqrt(ratio)));
      return rateMops(readers);
    },
  };
}

function openTicketLock(team: Team, actors: number): Job {
  const words = new Int32Array(team.buffer, team.data.at, 33);
  let count = 0;
  return {
    prepare(scale) {
      zeroed(team, words);
      count = scale * UNIT;
      return Array.from({ length: actors }, () => ({ kernel: 'ticketLock', params: [team.data.at, count] }));
    },
    finish(results) {
      expectOps('ticketLock', results, Array(actors).fill(count));
      expectResult('the counter that the lock guards', Atomics.load(words, 32) >>> 0, (actors * count) % 2 ** 32);
      return rateMops(results);
    },
  };
}

const RATE = { unit: 'Mops/s', better: 'higher' } as const;

export const contentionWorkloads = [
  kernelWorkload({
    ...RATE,
    suite: 'atomics',
    name: 'add',
    title: 'atomic additions to one word by all actors (lock xadd, Atomics.add)',
    model:
      'Additions per second of all actors together, on one word. One actor: the cost of the locked instruction and of its call. More: how fast the line wanders between their caches; a single actor is usually faster than two together. The sum is checked after each repetition. Nobody does anything else meanwhile: real programs contend less.',
    cases: single((team, count) => openCounter('atomicAdd', team, count)),
  }),
  kernelWorkload({
    ...RATE,
    suite: 'atomics',
    name: 'cas',
    title: 'the same by a loop of compare-and-swap',
    model:
      'Successful additions per second; attempts that failed because another actor was faster are work without a result, and are not counted. Fair lines favour `add`: the difference between the two is the cost of optimism under contention.',
    cases: single((team, count) => openCounter('casAdd', team, count)),
  }),
  kernelWorkload({
    ...RATE,
    suite: 'sharing',
    name: 'increment',
    title: 'plain counters, one for each actor, in one cache line or apart',
    model: `Increments per second of all actors together. No actor touches another's word: with a spacing of 4 bytes the words lie in one cache line (false sharing), with ${APART} they do not. The ratio of the two rows is what the shared line costs. Stores are plain, so the processor's store buffer hides a part of it.`,
    cases: () =>
      [4, APART].map(
        (spacing): Case => ({
          parameters: { spacing },
          open: (team, count) => openIncrement(spacing, team, count),
        }),
      ),
  }),
  kernelWorkload({
    ...RATE,
    suite: 'locks',
    name: 'seqlock',
    title: 'consistent reads under a sequence lock: the first actor writes, the others read',
    model:
      'Consistent reads of seven words per second of all readers together, while the first actor of the mix writes without a pause. A read that a write fell into is repeated. The writer has as much to do as lasts as long as the reads do, by its speed in earlier repetitions. The worst case of a seqlock: it is made for writers that come seldom. A torn read that the sequence did not show ends the run.',
    countMin: 2,
    cases: single(openSeqlock),
  }),
  kernelWorkload({
    ...RATE,
    suite: 'locks',
    name: 'ticket',
    title: 'a ticket lock around an increment',
    model:
      'Times per second that the lock is taken and given back by all actors together. First come, first served: with more than one actor each hand-over carries three lines from one cache to another. Waiting is spinning, so a holder that loses its CPU holds up all: stolen time shows here more than anywhere. The counter inside is checked.',
    cases: single(openTicketLock),
  }),
];
