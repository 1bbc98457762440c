// The lab as the library has it: loaded with its first use, so that a program that only runs machines need not wait for it. Main thread.

import type { LabReport } from './report.ts';
import type { BenchmarkHooks } from './run-benchmark.ts';
import type { ScenarioInput } from './scenario.ts';

/**
 * Measures what a scenario asks for. Everything has a default: `runBenchmark({})` measures what the machine can run, for some minutes;
 * `{ quick: true }` for less than one. Blocks no thread but those of its actors, which keep their CPUs busy. A wrong result (`ERR_LAB_RESULT`) or an actor
 * that dies (`ERR_LAB_ACTOR`) costs the rows of its group: `failures` has it, and the run goes on. Litmus rows with `failed` do not make it reject.
 * @throws `ERR_LAB_SCENARIO`, `ERR_KVM_UNAVAILABLE` before anything is started; `ERR_UNKNOWN_OPTION` for a hook that is none; what nothing can be
 *   measured after: no memory (`ERR_SYSCALL` with ENOMEM, RangeError)
 */
export async function runBenchmark(input: ScenarioInput = {}, hooks: BenchmarkHooks = {}): Promise<LabReport> {
  const lab = await import('./run-benchmark.ts');
  return lab.runBenchmark(input, hooks);
}
