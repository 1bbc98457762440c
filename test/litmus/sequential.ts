// The litmus programs without concurrency: a test's threads one after the other, in a team and in a model that interprets the operations. What
// the programs of an actor kind do to which bytes is then a matter of right or wrong.

import * as assert from 'uvu/assert';
import { halvesOf, type LitmusTest, placeOf } from '../../shared/lab/litmus.ts';
import { LITMUS_TESTS } from '../../shared/lab/litmus-tests.ts';
import { drawBatch } from '../../src/main/lab/litmus/batch.ts';
import { Tally } from '../../src/main/lab/litmus/tally.ts';
import type { ActorKind } from '../../src/main/lab/report.ts';
import { seededRandom } from '../../src/main/lab/statistics.ts';
import type { Team } from '../../src/main/lab/workload.ts';

/** The outcome of the threads in the given order, as text. */
export function sequentialOutcome(test: LitmusTest, order: readonly number[]): string {
  const memory = { x: [0, 0], y: [0, 0] };
  const registers = new Map<string, number>();
  for (const op of order.flatMap(thread => test.threads[thread] ?? [])) {
    const cells = memory[placeOf(op.at).word];
    const write = () => {
      for (const [half, value] of halvesOf(op.at, op.kind === 'load' ? 0 : op.value)) cells[half] = value;
    };
    const halves = halvesOf(op.at, 0).map(([half]) => cells[half] ?? 0);
    const seen = (halves[0] ?? 0) + (halves[1] ?? 0) * 0x1_0000;
    if (op.kind !== 'store') registers.set(op.to, seen);
    if (op.kind === 'store' || (op.kind === 'cas' && seen === op.expected)) write();
  }
  const value = (name: string) =>
    registers.get(name) ?? (memory[name as 'x' | 'y'][0] ?? 0) + (memory[name as 'x' | 'y'][1] ?? 0) * 0x1_0000;
  const names = [...registers.keys()].sort();
  return [...names, ...test.finals]
    .map(name => (value(name) < 10 ? `${name}=${value(name)}` : `${name}=0x${value(name).toString(16)}`))
    .join(' ');
}

/** Runs every program of one kind of actors, two batches per test: threads in their order, and the other way round. Each instance must come out alike. */
export async function checkSequentially(team: Team, kind: ActorKind): Promise<void> {
  const random = seededRandom(1);
  for (const [place, test] of LITMUS_TESTS.entries()) {
    const forwards = test.threads.map((_ops, thread) => thread);
    for (const order of [forwards, [...forwards].reverse()]) {
      const tally = new Tally(test, team.buffer);
      const batch = drawBatch(random, { test: place, data: team.data, cpus: [0] });
      tally.prepare(batch);
      for (const thread of order) {
        const params = batch.params[thread] ?? [];
        const [result] = await team.run([{ actor: { kind, index: 0 }, kernel: 'litmus', params }]);
        assert.is(result?.ops, batch.count, 'instances');
      }
      tally.count(batch);
      const seen = tally.outcomes().filter(({ count }) => count > 0);
      const expected = sequentialOutcome(test, order);
      assert.equal(seen, [{ text: expected, count: batch.count, isStrange: false }], `${kind} ${test.name} ${order}`);
    }
  }
}

/** A team whose actors are one function: it gets the orders' parameters by thread and does with the arena what it likes. */
export function fakeTeam(data: Team['data'], run: (words: Uint32Array, params: readonly number[][]) => void): Team {
  const buffer = new SharedArrayBuffer(data.at + data.bytes);
  return {
    buffer,
    data,
    counts: { js: 4, wasm: 4, guest: 4, c: 4 },
    clockNs: {},
    run(orders) {
      run(
        new Uint32Array(buffer),
        orders.map(({ params }) => [...params]),
      );
      return Promise.resolve(orders.map(() => ({ startNs: 0, ns: 1, ops: 0, values: [] })));
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
