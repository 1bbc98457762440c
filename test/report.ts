// What a run of test files says about each file and at its end. Used by the runner and, for results that came out of an
// emulated machine, by test/machine/: both print the same lines. Imports nothing.

/** What became of one test file. Crosses from the emulated machine as a line of JSON. */
export interface Outcome {
  /** Path below test/, compiled: 'kvm/hlt.test.js'. */
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  /** Lines '# SKIP <count> <suite>: <reason>'. */
  readonly skips: readonly string[];
  /** Why the file does not count as passed. */
  readonly problem?: string | undefined;
  readonly output: string;
  readonly seconds: number;
}

/** The file's line, and its output where it failed or `verbose` asks for it. */
export function describe(outcome: Outcome, verbose: boolean): string {
  const skip = outcome.skips.length > 0 ? `, ${outcome.skips.length} suites skipped` : '';
  const verdict = outcome.problem === undefined ? 'ok  ' : 'FAIL';
  const line = `${verdict} build/test/${outcome.file} (${outcome.passed} passed${skip}, ${outcome.seconds.toFixed(1)} s)`;
  if (outcome.problem !== undefined)
    return `${line}\n     ${outcome.problem}\n${outcome.output.replace(/^/gm, '     | ')}`;
  return verbose ? `${line}\n${outcome.output}` : line;
}

/** The skips with their reasons and the totals, 'N passed, N failed, N skipped' as the last line; and whether all is well. */
export function summarize(outcomes: readonly Outcome[], seconds: number): { text: string; ok: boolean } {
  const skips = outcomes.flatMap(outcome => outcome.skips);
  const skipped = skips.reduce((sum, line) => sum + Number(line.split(' ')[2]), 0);
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
  const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0);
  const text = [
    ...skips,
    `${outcomes.length} files, ${seconds.toFixed(1)} s`,
    `${passed} passed, ${failed} failed, ${skipped} skipped`,
  ].join('\n');
  return { text, ok: failed === 0 && passed > 0 };
}
