// A run of the lab without KVM: threads of JavaScript and C, real measurement, few repetitions. Asserted is what is in the report, never how fast it was.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LabReport, LitmusRow, Row } from '../../src/main/lab/report.ts';
import { runBenchmark } from '../../src/main/lab/run-benchmark.ts';
import type { ScenarioInput } from '../../src/main/lab/scenario.ts';
import { codeOf } from '../errors.ts';

const test = suite('lab: run a scenario');
const FEW: ScenarioInput = { seed: 11, visits: 5, extraVisits: 0, repetitions: 1, repetitionMs: 0.2, sizes: ['64K'] };

const idsOf = (rows: readonly Row[]) => rows.map(({ id }) => id);

test('rows of all chosen workloads, with a ratio to as many C threads', async () => {
  const told: Row[] = [];
  const shares: number[] = [];
  const report = await runBenchmark(
    { ...FEW, suites: ['stream/triad', 'atomics'], actors: ['js:1', 'wasm:1'] },
    { onRow: row => told.push(row), onProgress: share => shares.push(share) },
  );
  assert.equal(idsOf(report.rows), [
    'stream/triad/js:1/bytes=65536',
    'stream/triad/wasm:1/bytes=65536',
    'atomics/add/js:1',
    'atomics/add/wasm:1',
    'atomics/cas/js:1',
    'atomics/cas/wasm:1',
  ]);
  assert.equal(told, report.rows);
  for (const { id, value, baseline, ratio } of report.rows) {
    assert.is(value.visits.length, 5, id);
    assert.ok(value.median > 0 && (baseline?.median ?? 0) > 0 && (ratio?.median ?? 0) > 0, id);
  }
  assert.equal(
    shares,
    [...shares].sort((a, b) => a - b),
  );
  assert.is(shares.at(-1), 1);
  assert.not(report.interrupted);
  assert.is(report.seed, 11);
  assert.ok(report.machine.clockNs.js !== undefined);
});

test('a report is JSON: what comes back is the same', async () => {
  const report = await runBenchmark({ ...FEW, suites: ['atomics/add'], actors: ['c:1'] });
  const again: LabReport = JSON.parse(JSON.stringify(report));
  assert.equal(again, report);
  assert.is(again.rows[0]?.baseline, undefined);
});

test('litmus tests have rows of their own, with as many iterations as asked for and nothing forbidden', async () => {
  const told: LitmusRow[] = [];
  const { rows, litmus } = await runBenchmark(
    { ...FEW, suites: ['litmus/SB'], actors: ['js:1'], litmusIterations: 5000 },
    { onLitmus: row => told.push(row) },
  );
  assert.equal(rows, []);
  assert.equal(
    litmus.map(({ id }) => id),
    ['litmus/SB/plain/js+js', 'litmus/SB/atomic/js+js'],
  );
  assert.equal(told, litmus);
  for (const { id, iterations, failed, outcomes } of litmus) {
    assert.ok(iterations >= 5000, id);
    assert.is(
      outcomes.reduce((sum, { count }) => sum + count, 0),
      iterations,
      id,
    );
    assert.not(failed, id);
  }
});

test('its own scenario runs again and gives the same rows', async () => {
  const first = await runBenchmark({ ...FEW, suites: ['atomics/add'], actors: ['js:1'] });
  const second = await runBenchmark(first.scenario);
  assert.equal(idsOf(second.rows), idsOf(first.rows));
  assert.equal(second.scenario, first.scenario);
});

test('aborted, it has the rows that were measured until then, and says so', async () => {
  const abort = new AbortController();
  const report = await runBenchmark(
    { ...FEW, suites: ['atomics', 'stream'], actors: ['js:1'] },
    { signal: abort.signal, onRow: () => abort.abort() },
  );
  assert.ok(report.interrupted);
  assert.equal(idsOf(report.rows).length, 1);
});

test('what none of the actors can do is told', async () => {
  const report = await runBenchmark({ ...FEW, suites: ['locks/seqlock', 'rings'], actors: ['js:1'] });
  assert.equal(report.rows, []);
  assert.equal(
    report.skipped.filter(({ what }) => what !== 'guests'),
    ['locks/seqlock', 'rings/spsc', 'rings/mpmc'].map(what => ({ what, reason: 'not for any of the actors js:1' })),
  );
});

test('wrong scenarios and hooks are refused by code', async () => {
  assert.is(await codeOf(runBenchmark({ suites: ['speed'] })), 'ERR_LAB_SCENARIO');
  assert.is(await codeOf(runBenchmark({}, Object({ onrow: () => {} }))), 'ERR_UNKNOWN_OPTION');
});

test.run();
