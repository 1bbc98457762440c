// What `node-kvm bench` does: a run with its progress, table and files; a comparison of two reports; the list of workloads. Main thread.

import { resolve } from 'node:path';
import { isHypervisorError } from '../../../shared/errors.ts';
import { catalog, listed, nameOf } from '../lab/catalog.ts';
import { compareReports } from '../lab/compare.ts';
import type { LabReport } from '../lab/report.ts';
import { runBenchmark } from '../lab/run-benchmark.ts';
import type { ScenarioInput } from '../lab/scenario.ts';
import { AtomicFile } from './atomic-file.ts';
import { comparisonPage, comparisonTable, readReport } from './bench-comparison.ts';
import { benchPage } from './bench-page.ts';
import { showBenchProgress } from './bench-progress.ts';
import { benchTable, plainTable } from './bench-table.ts';
import { Interrupts, signalStatus } from './interrupts.ts';
import { UsageError } from './values.ts';

/** Where the results go, besides standard output; absent: nowhere. */
interface Files {
  readonly json: string | undefined;
  readonly html: string | undefined;
}

/** Codes that say that what was asked for is impossible here: the user's to change, nothing was measured. */
const REFUSALS: readonly string[] = ['ERR_LAB_SCENARIO', 'ERR_KVM_UNAVAILABLE'];

/**
 * Measures, shows, writes; the result is the exit status. Files are tried before and written whole at the end, also when a signal ended
 * the run early.
 */
export async function runBench({ input, ...files }: Files & { readonly input: ScenarioInput }): Promise<number> {
  const write = outputs(files);
  const controller = new AbortController();
  const interrupts = new Interrupts({ stop: async () => controller.abort() });
  const progress = showBenchProgress(process.stderr);
  let report: LabReport;
  try {
    report = await runBenchmark(input, {
      signal: controller.signal,
      onProgress: (share, what) => progress.update(share, what),
    });
  } catch (error) {
    if (isHypervisorError(error) && REFUSALS.includes(error.code))
      throw Object.assign(new UsageError(error.message, { cause: error }), { code: error.code });
    throw error;
  } finally {
    progress.end();
    interrupts.release();
  }
  process.stdout.write(benchTable(report));
  write({ json: () => report, html: () => benchPage(report, catalog) });
  if (interrupts.signal !== undefined) return signalStatus(interrupts.signal);
  return report.failures.length > 0 || report.litmus.some(({ failed }) => failed) ? 1 : 0;
}

/** @throws UsageError for a file that is no report */
export function compareFiles({ a, b, ...files }: Files & { readonly a: string; readonly b: string }): void {
  const [one, two] = [readReport(a), readReport(b)];
  const write = outputs(files);
  const comparison = compareReports(one.report, two.report);
  process.stdout.write(comparisonTable(comparison, one, two));
  // The rows themselves are in the two files.
  const verdicts = comparison.rows.map(({ a: _, b: __, ...row }) => row);
  write({ json: () => ({ ...comparison, rows: verdicts }), html: () => comparisonPage(comparison, one, two) });
}

/** All workloads and litmus tests, in the order in which they run. */
export function listWorkloads(): void {
  const left = { alignment: 'left' } as const;
  const rows = listed.map(workload => [
    nameOf(workload),
    workload.kinds.join(', ') + (workload.needsKvm === true ? ', needs KVM' : ''),
    workload.title,
  ]);
  process.stdout.write(`${plainTable([['workload', 'actors', 'measures'], ...rows], [left, left, left])}\n`);
}

interface Contents {
  readonly json: () => object;
  readonly html: () => string;
}

/** Tries both places; the result writes what is asked for there. */
function outputs({ json, html }: Files): (contents: Contents) => void {
  const jsonFile = json === undefined ? undefined : new AtomicFile(json);
  const htmlFile = html === undefined ? undefined : new AtomicFile(html);
  if (jsonFile !== undefined && htmlFile !== undefined && resolve(jsonFile.path) === resolve(htmlFile.path))
    throw new UsageError(`--json and --html both name '${jsonFile.path}'`);
  return contents => {
    jsonFile?.write(`${JSON.stringify(contents.json())}\n`);
    htmlFile?.write(contents.html());
    for (const file of [jsonFile, htmlFile])
      if (file !== undefined) process.stderr.write(`node-kvm: the report is in ${file.path}\n`);
  };
}
