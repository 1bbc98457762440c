// What workloads of the lab are made from, for tests of single workloads: a scenario with everything small, and what was skipped.

import { availableParallelism } from 'node:os';
import type { Scenario } from '../src/main/lab/scenario.ts';
import type { LabContext } from '../src/main/lab/workload.ts';
import { hasKvm } from './harness.ts';

export interface TestContext extends LabContext {
  readonly skipped: { readonly what: string; readonly reason: string }[];
}

export function labContext(scenario: Partial<Scenario> = {}): TestContext {
  const skipped: { what: string; reason: string }[] = [];
  return {
    scenario: {
      name: 'test',
      suites: [],
      actors: ['guest:1', 'guest:2', 'js:1', 'js:2'],
      sizes: [2 ** 20],
      sources: ['bitmap', 'ring', 'pagemap', 'host'],
      seed: 1,
      visits: 5,
      extraVisits: 0,
      repetitions: 1,
      repetitionMs: 1,
      litmusIterations: 1,
      quick: false,
      peers: true,
      ...scenario,
    },
    hasKvm,
    cpus: Array.from({ length: availableParallelism() }, (_, cpu) => cpu),
    team: () => Promise.reject(new Error('this test has no team')),
    skip: (what, reason) => void skipped.push({ what, reason }),
    skipped,
  };
}
