// Everything that the lab can measure, by suite and name: what `--list` prints, scenarios choose from, and a run goes through in this order. Main thread.

import { LITMUS_TESTS } from '../../../shared/lab/litmus-tests.ts';
import { ACTOR_KINDS } from './actor-mix.ts';
import { LITMUS_SUITE, litmusNames } from './litmus/cases.ts';
import type { Workload } from './workload.ts';
import { accessWorkloads } from './workloads/access.ts';
import { accessTracking } from './workloads/access-tracking.ts';
import { contentionWorkloads } from './workloads/contention.ts';
import { dirtyStorm } from './workloads/dirty-storm.ts';
import { exitStorm } from './workloads/exit-storm.ts';
import { memoryApi } from './workloads/memory-api.ts';
import { regionChurn } from './workloads/region-churn.ts';
import { ringWorkloads } from './workloads/rings.ts';
import { streamWorkloads } from './workloads/stream.ts';
import { wakeUps } from './workloads/wake-ups.ts';

export const catalog: readonly Workload[] = [
  ...streamWorkloads,
  ...accessWorkloads,
  ...contentionWorkloads,
  ...ringWorkloads,
  wakeUps,
  dirtyStorm,
  regionChurn,
  exitStorm,
  memoryApi,
  accessTracking,
];

/** 'stream/triad' */
export const nameOf = ({ suite, name }: Pick<Workload, 'suite' | 'name'>): string => `${suite}/${name}`;

/** What a scenario can name: a workload or a litmus test. */
export type Listed = Pick<Workload, 'suite' | 'name' | 'title' | 'kinds' | 'needsKvm'>;

/** All workloads, then all litmus tests. */
export const listed: readonly Listed[] = [
  ...catalog,
  ...litmusNames.map(name => ({ suite: LITMUS_SUITE, name, title: litmusTitle(name), kinds: ACTOR_KINDS })),
];

export const listedNames: readonly string[] = listed.map(nameOf);
export const suiteNames: readonly string[] = [...new Set(listed.map(({ suite }) => suite))];

function litmusTitle(name: string): string {
  const tests = LITMUS_TESTS.filter(test => test.name === name);
  const targets = [...new Set(tests.map(({ target }) => target))];
  return `can ${targets.join(' or ')} be seen? (${tests.map(({ access }) => access).join(', ')})`;
}
