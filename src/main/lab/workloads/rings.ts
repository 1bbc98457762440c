// Queues between actors: a ring with one producer and one consumer, and a bounded queue for many of both. Main thread. Who sends and who
// receives follows from the order of the mix: 'guest:1+js:1' sends from the guest to JavaScript, 'js:1+guest:1' the other way.

import type { Team } from '../workload.ts';
import {
  expectOps,
  expectResult,
  forgetLayout,
  type Job,
  kernelWorkload,
  resultAt,
  single,
  spanNs,
} from './kernel-workload.ts';

/** Items per unit of scale. */
const UNIT = 100;
const SLOTS = 1024;
/** Head and tail in words from the start, and where slots begin. */
const HEAD = 0;
const TAIL = 16;
const CELLS = 32;

const sum = (values: readonly bigint[]): bigint => values.reduce((total, value) => total + value, 0n);

function openSpsc(team: Team): Job {
  const words = new Int32Array(team.buffer, team.data.at, CELLS + SLOTS);
  let count = 0;
  return {
    prepare(scale) {
      forgetLayout(team);
      Atomics.store(words, HEAD, 0);
      Atomics.store(words, TAIL, 0);
      count = scale * UNIT;
      const params = [team.data.at, count, SLOTS];
      return [
        { kernel: 'spscPush', params },
        { kernel: 'spscPop', params },
      ];
    },
    finish(results) {
      const [push, pop] = results;
      expectOps('spscPush', results.slice(0, 1), [count]);
      expectOps('spscPop', results.slice(1), [count]);
      expectResult('items of the ring that came out of order', resultAt(pop, 2), 0);
      expectResult('sum of what came out of the ring', resultAt(pop, 1), resultAt(push, 1));
      return (count * 1e3) / spanNs(results);
    },
  };
}

function openMpmc(team: Team, actors: number): Job {
  const words = new Int32Array(team.buffer, team.data.at, CELLS + 2 * SLOTS);
  const producers = Math.floor(actors / 2);
  const consumers = actors - producers;
  let unit = 0;
  return {
    prepare(scale) {
      forgetLayout(team);
      Atomics.store(words, HEAD, 0);
      Atomics.store(words, TAIL, 0);
      for (let cell = 0; cell < SLOTS; cell += 1) Atomics.store(words, CELLS + 2 * cell, cell);
      // Each side's share of producers * consumers * unit items is whole, and about `scale` times UNIT for each actor.
      unit = Math.ceil((scale * UNIT) / Math.max(producers, consumers));
      return Array.from({ length: actors }, (_, rank) =>
        rank < producers
          ? { kernel: 'mpmcPush', params: [team.data.at, consumers * unit, SLOTS] }
          : { kernel: 'mpmcPop', params: [team.data.at, producers * unit, SLOTS] },
      );
    },
    finish(results) {
      const sent = results.slice(0, producers);
      const received = results.slice(producers);
      expectOps('mpmcPush', sent, Array(producers).fill(consumers * unit));
      expectOps('mpmcPop', received, Array(consumers).fill(producers * unit));
      expectResult(
        'sum of what came out of the queue',
        sum(received.map(result => resultAt(result, 1))),
        sum(sent.map(result => resultAt(result, 1))),
      );
      return (producers * consumers * unit * 1e3) / spanNs(results);
    },
  };
}

const RING = { suite: 'rings', unit: 'Mops/s', better: 'higher', countMin: 2 } as const;

export const ringWorkloads = [
  kernelWorkload({
    ...RING,
    name: 'spsc',
    title: 'ring with one producer and one consumer',
    model: `Items per second through a ring of ${SLOTS} words, from the first actor of the mix to the second. Each side keeps what it last saw of the other's counter, so that lines wander once per batch, not once per item: how well that goes depends on whether both are equally fast. Order and sum are checked. It is throughput: a single item's way takes longer than its share of it.`,
    countMax: 2,
    cases: single(openSpsc, { slots: SLOTS }),
  }),
  kernelWorkload({
    ...RING,
    name: 'mpmc',
    title: 'bounded queue with many producers and consumers',
    model: `Items per second through a queue of ${SLOTS} cells with a sequence number each (Vyukov's design): one compare-and-swap per item on either side. The first half of the mix's actors send, the others receive. The sums of both sides are checked. With one of each it shows what generality costs against \`spsc\`.`,
    cases: single(openMpmc, { slots: SLOTS }),
  }),
];
