// Which litmus tests a scenario asks for, and which kinds of actors run their threads. Main thread; pure.

import type { LitmusTest } from '../../../../shared/lab/litmus.ts';
import { LITMUS_TESTS } from '../../../../shared/lab/litmus-tests.ts';
import { actorsOf } from '../actor-mix.ts';
import type { ActorKind, LitmusRow } from '../report.ts';
import type { Scenario } from '../scenario.ts';

/** One row to be. */
export interface LitmusCase {
  /** `litmus/SB/plain/guest+js` */
  readonly id: string;
  readonly test: LitmusTest;
  /** By thread. */
  readonly actors: LitmusRow['actors'];
}

export const LITMUS_SUITE = 'litmus';

/** Names of the tests, for suites of a scenario ('litmus/SB'), with one line on each. */
export const litmusNames: readonly string[] = [...new Set(LITMUS_TESTS.map(({ name }) => name))];

export const litmusCase = (test: LitmusTest, [first, second = first]: readonly [ActorKind, ActorKind?]): LitmusCase => {
  const actors = test.threads.map((_ops, thread) => (thread % 2 === 0 ? first : second));
  return { id: `${LITMUS_SUITE}/${test.name}/${test.access}/${actors.join('+')}`, test, actors };
};

/**
 * Every test that the suites name, with each ordered pair of the kinds that the actors name: threads 0 and 2 are of the first kind, 1 and 3 of
 * the second. Quick: with one pair alone, the first kind and one that differs from it.
 */
export function litmusCases({ suites, actors, quick }: Pick<Scenario, 'suites' | 'actors' | 'quick'>): LitmusCase[] {
  const wanted = LITMUS_TESTS.filter(
    ({ name }) => suites.includes(LITMUS_SUITE) || suites.includes(`${LITMUS_SUITE}/${name}`),
  );
  const kinds = [...new Set(actors.flatMap(mix => actorsOf(mix).map(({ kind }) => kind)))];
  const all = kinds.flatMap(first => kinds.map(second => [first, second] as const));
  const mixed = [...kinds].reverse();
  const pairs = quick ? [[mixed[0] ?? 'js', mixed[mixed.length - 1] ?? 'js'] as const] : all;
  return wanted.flatMap(test => pairs.map(pair => litmusCase(test, pair)));
}

/** How many actors of each kind run all of the cases, one at a time. */
export function litmusCounts(cases: readonly LitmusCase[]): Record<ActorKind, number> {
  const counts: Record<ActorKind, number> = { js: 0, wasm: 0, guest: 0, c: 0 };
  for (const { actors } of cases) {
    for (const kind of actors) counts[kind] = Math.max(counts[kind], actors.filter(other => other === kind).length);
  }
  return counts;
}
