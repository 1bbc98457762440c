// Runs workloads of the lab as shortly as it can be done, and says which rows there are. For tests that are about results, not figures: a workload whose
// actors leave something wrong makes the run reject.

import { runBenchmark } from '../src/main/lab/run-benchmark.ts';

/** `suite/workload actors`, each once, of a run with these suites and actors. */
export async function measured(suites: readonly string[], actors: readonly string[]): Promise<string[]> {
  const { rows } = await runBenchmark({
    suites,
    actors,
    seed: 23,
    visits: 5,
    extraVisits: 0,
    repetitions: 1,
    repetitionMs: 0.1,
    sizes: ['64K'],
  });
  for (const { id, value } of rows) if (!(value.median > 0)) throw new Error(`${id}: ${value.median}`);
  return [...new Set(rows.map(({ suite, workload, actors: who }) => `${suite}/${workload} ${who}`))];
}
