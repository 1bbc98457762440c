// Runs a litmus test with given actors, batch after batch, and says what was seen and whether the memory model that holds for these actors allows it. Main
// thread. The tests are shared/lab/litmus-tests.ts; which ones a scenario asks for, and by whom, is cases.ts.

import { HypervisorError } from '../../../../shared/errors.ts';
import { isForbidden, type LitmusModel, type LitmusTest, modelOf } from '../../../../shared/lab/litmus.ts';
import { LITMUS_TESTS } from '../../../../shared/lab/litmus-tests.ts';
import type { ActorKind, LitmusRow } from '../report.ts';
import { seededRandom } from '../statistics.ts';
import type { ActorId, Team } from '../workload.ts';
import { drawBatch } from './batch.ts';
import type { LitmusCase } from './cases.ts';
import { Tally } from './tally.ts';

export interface LitmusOptions {
  /** Instances, at least; whole batches are run. */
  readonly iterations: number;
  /** Every choice comes from it and from the case's id: the same seed gives the same batches. 1 to 2^32 - 1. */
  readonly seed: number;
  /** CPUs to pin to; at least one. */
  readonly cpus: readonly number[];
  /** Aborted: the row has what was seen until then. */
  readonly signal?: AbortSignal;
  /** Called after each batch with the share that is done, 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** FNV-1a: cases differ in their batches. */
const hash = (text: string) =>
  [...text].reduce((h, letter) => Math.imul(h ^ (letter.codePointAt(0) ?? 0), 0x0100_0193), 0x811c_9dc5);

/** Each thread's actor: the first of its kind that has no thread yet. */
function assign(kinds: readonly ActorKind[], counts: Team['counts']): ActorId[] {
  return kinds.map((kind, thread) => {
    const index = kinds.slice(0, thread).filter(other => other === kind).length;
    if (index >= counts[kind])
      throw new HypervisorError(
        'ERR_LAB_ACTOR',
        `the team has ${counts[kind]} ${kind} actors: too few for ${kinds.join('+')}`,
      );
    return { kind, index };
  });
}

/** Why the target is allowed or forbidden; where only one of the two models forbids it, why it is rare. */
function reasonFor(test: LitmusTest, model: LitmusModel): string {
  const forbids = (by: LitmusModel) => isForbidden(test, by, test.target);
  if (forbids(model) || !forbids('x86-tso')) return test.reason[model];
  return `${test.reason[model]}. The processor forbids it (${test.reason['x86-tso']}), so that only a compiler can show it`;
}

/** @throws `ERR_LAB_ACTOR` (a team that is too small, an actor that died), and what {@link Team.run} throws */
export async function runLitmus(team: Team, litmus: LitmusCase, options: LitmusOptions): Promise<LitmusRow> {
  const { test, actors } = litmus;
  const random = seededRandom((options.seed ^ hash(litmus.id)) >>> 0 || 1);
  const place = { test: LITMUS_TESTS.indexOf(test), data: team.data, cpus: options.cpus };
  const ids = assign(actors, team.counts);
  const tally = new Tally(test, team.buffer);
  const started = performance.now();
  let iterations = 0;
  while (iterations < options.iterations && options.signal?.aborted !== true) {
    const batch = drawBatch(random, place);
    tally.prepare(batch);
    await team.run(
      ids.map((actor, thread) => ({
        actor,
        kernel: 'litmus',
        params: batch.params[thread] ?? [],
        cpu: batch.cpus[thread] ?? 0,
      })),
    );
    tally.count(batch);
    iterations += batch.count;
    options.onProgress?.(Math.min(1, iterations / options.iterations));
  }

  const model = modelOf(actors);
  const outcomes = tally.outcomes().map(({ text, count, isStrange }) => ({
    text,
    count,
    allowed: !isStrange && !isForbidden(test, model, text),
    isTarget: text === test.target,
  }));
  return {
    id: litmus.id,
    test: test.name,
    actors,
    access: test.access,
    iterations,
    seconds: (performance.now() - started) / 1000,
    outcomes,
    reason: reasonFor(test, model),
    failed: outcomes.some(({ count, allowed }) => count > 0 && !allowed),
  };
}
