// Two reports held against each other, as `node-kvm bench --compare` shows them: the verdicts with what they rest on, as table and as
// page; files that are no reports are refused.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { comparisonPage, comparisonTable, readReport } from '../../src/main/cli/bench-comparison.ts';
import { UsageError } from '../../src/main/cli/values.ts';
import { compareReports } from '../../src/main/lab/compare.ts';
import type { LabReport } from '../../src/main/lab/report.ts';
import { estimate, labReport } from '../lab-report.ts';

const folder = mkdtempSync(join(tmpdir(), 'node-kvm-compare-'));
let files = 0;

function stored(report: object | string): string {
  const path = join(folder, `report-${files++}.json`);
  writeFileSync(path, typeof report === 'string' ? report : JSON.stringify(report));
  return path;
}

/** The fixture with wake-ups in half the time, and without its last row. */
function changed(): LabReport {
  const report = labReport();
  const rows = report.rows.slice(0, -1);
  return {
    ...report,
    machine: { ...report.machine, kernel: '6.19.0' },
    rows: rows.map(row => (row.workload === 'ping-pong' ? { ...row, value: estimate(row.value.median / 2) } : row)),
  };
}

const test = suite('bench comparison');
test.after(() => rmSync(folder, { recursive: true }));

const a = readReport(stored(labReport()));
const b = readReport(stored(changed()));
const comparison = compareReports(a.report, b.report);

test('the table has a verdict for each row, the difference, and what could have been seen', () => {
  const text = comparisonTable(comparison, a, b);
  assert.match(text, /^wake-ups\/ping-pong, µs$/m);
  assert.match(text, /^ {2}js:2 +31\.0 \(30\.4 to 31\.6\) +15\.5 \(15\.2 to 15\.8\) +\+100 % .*▲ faster$/m);
  assert.match(text, /^ {2}wasm:1, 64 KiB .* of C .*= same$/m);
  assert.match(text, /^a: varies by 14 % between visits: stream\/triad\/js:1\/2097152, stream\/triad\/js:2\/2097152$/m);
  assert.match(text, / only in a$/m);
  assert.match(text, /^not the same: kernel: 6\.18\.0 in a, 6\.19\.0 in b$/m);
  assert.match(text, /2 faster, .* same/);
});

test('the page has the same, and both machines', () => {
  const html = comparisonPage(comparison, a, b);
  assert.match(html, /<h3>wake-ups\/ping-pong, µs<\/h3>/);
  assert.match(html, /<td class="good">▲ faster<\/td>/);
  assert.match(html, /<li>kernel: 6\.18\.0 in a, 6\.19\.0 in b<\/li>/);
  assert.match(html, /Linux 6\.18\.0.*Linux 6\.19\.0/s);
  assert.not.match(html, /\{\{|undefined|NaN%/);
});

test('a report against itself: nothing differs', () => {
  const { counts } = compareReports(a.report, a.report);
  assert.is(counts.faster + counts.slower, 0);
});

const [firstRow] = labReport().rows;
const wrong: readonly (readonly [string, object | string, RegExp])[] = [
  ['no JSON', '{', /cannot be read/],
  ['something else', { rows: [] }, /no report/],
  ['another format', { ...labReport(), format: 'node-kvm-lab/2' }, /format/],
  ['no rows', { ...labReport(), rows: undefined }, /'rows'/],
  ['no machine', { ...labReport(), machine: {} }, /machine/],
  ['a row without figures', { ...labReport(), rows: [{ ...firstRow, value: undefined }] }, /rows\/0/],
  ['a row without parameters', { ...labReport(), rows: [{ ...firstRow, parameters: undefined }] }, /rows\/0/],
  ['a row of no workload', { ...labReport(), rows: [{ ...firstRow, workload: 7 }] }, /rows\/0\/workload/],
  ['a load that is text', { ...labReport(), machine: { ...labReport().machine, loadAverage: '1' } }, /loadAverage/],
  ['a unit that there is not', { ...labReport(), rows: [{ ...firstRow, unit: 'furlongs' }] }, /rows\/0\/unit/],
];
for (const [name, contents, message] of wrong) {
  test(`${name} is refused, with the file's name`, () => {
    const path = stored(contents);
    try {
      readReport(path);
    } catch (error) {
      assert.instance(error, UsageError);
      assert.match((error as Error).message, message);
      assert.ok((error as Error).message.includes(path));
      return;
    }
    assert.unreachable();
  });
}

test('a file that is not there is refused', () => {
  assert.throws(() => readReport(join(folder, 'none.json')), /none\.json.*cannot be read/);
});

test.run();
