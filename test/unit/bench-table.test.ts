// The lab's report on the terminal: every row with median, interval and ratio, doubts told once, a table that fits, the verdict of each
// litmus test.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { benchTable } from '../../src/main/cli/bench-table.ts';
import { durationText, figure, parametersText, timeText } from '../../src/main/cli/bench-text.ts';
import { labReport } from '../lab-report.ts';

const test = suite('bench table');
const text = benchTable(labReport());

test('a heading for each workload with its parameters and unit, a line for each mix of actors', () => {
  assert.match(text, /^stream\/triad 64 KiB, GB\/s$/m);
  assert.match(text, /^ {2}wasm:2 +57\.0 +55\.3 to 58\.7 +3\.0 % +0\.95 +0\.91 to 0\.99 +51\.3$/m);
  assert.match(text, /^wake-ups\/ping-pong, µs$/m);
  assert.match(text, /^ {2}guest:1\+js:1 +11\.0 +10\.8 to 11\.2 +2\.0 %$/m);
  assert.match(text, /^dirty\/storm source bitmap, writes 50 %, pages\/s$/m);
});

test('seed, machine and what was left out are told', () => {
  assert.match(text, /seed 12345/);
  assert.match(text, /Invented CPU/);
  assert.match(text, /^skipped: wake-ups\/ioeventfd: the library has none$/m);
  assert.match(text, /^25 rows, 2 of them doubtful; 5 litmus tests, 0 with a forbidden outcome$/m);
});

test('a reason to doubt is told once, with its rows, which are marked', () => {
  assert.match(text, /^! varies by 14 % between visits: stream\/triad\/js:1\/\d+, stream\/triad\/js:2\/\d+$/m);
  assert.is(text.match(/ !$/gm)?.length, 2);
});

test('doubts that differ in figures alone are one line, which has their range', () => {
  const report = labReport();
  const rows = report.rows.slice(0, 5).map((row, index) => ({ ...row, doubts: [`known to ± ${10 + index} % only`] }));
  assert.match(benchTable({ ...report, rows }), /^! known to ± 10 to 14 % only: 5 rows$/m);
});

test('percentiles and litmus verdicts are there', () => {
  assert.match(text, /^ {2}guest:1\+js:1 +10,000 +11\.7 µs +15\.2 µs +26\.1 µs +33\.3 µs +56\.7 µs$/m);
  assert.match(text, /^SB +plain +guest ‖ js +1,000,000 +r0=0 r1=0 +allowed, seen 4,321 per million$/m);
  assert.match(benchTable(labReport({ failing: true })), /FORBIDDEN, yet seen: r0=0 r1=0 \(2 times\)/);
});

test('few samples do not tell the rare', () => {
  const report = labReport();
  const few = report.rows.map(row =>
    row.latency === undefined ? row : { ...row, latency: { ...row.latency, count: 50 } },
  );
  assert.match(benchTable({ ...report, rows: few }), /^ {2}guest:1\+js:1 +50 +11\.7 µs +15\.2 µs +– +– +56\.7 µs$/m);
});

test('an interrupted run says so, and one without rows is no error', () => {
  assert.match(benchTable(labReport({ interrupted: true })), /INTERRUPTED/);
  assert.match(benchTable({ ...labReport(), rows: [], litmus: [] }), /^0 rows/m);
});

test('what failed is told with its rows, its code and where it happened, and counted at the end', () => {
  const broken = benchTable(labReport({ broken: true }));
  assert.match(
    broken,
    /^FAILED: access\/chase \(js:1, wasm:2; 2 rows missing\): ERR_LAB_ACTOR at access\/chase\/wasm:2\/bytes=65536: wasm actor 1 ended with <status 1>$/m,
  );
  assert.match(broken, /^FAILED: access\/chase \(.*; when its actors were closed\): ERR_SYSCALL at .*: close failed$/m);
  assert.match(broken, /; 2 FAILED$/m);
  assert.not.match(text, /FAILED/);
});

test('no line of the table of rows is wider than 100 columns', () => {
  const lines = text.slice(text.indexOf('median'), text.indexOf('Medians with')).split('\n');
  assert.ok(lines.length > 20);
  assert.equal(
    lines.filter(line => line.length > 100),
    [],
  );
});

test('figures have three digits that count', () => {
  assert.equal([0, 0.012345, 1.234, 12.34, 123.4, 1234.5].map(figure), ['0', '0.0123', '1.23', '12.3', '123', '1,235']);
  assert.equal([12, 1234, 12_345_678, 2.5e9].map(timeText), ['12.0 ns', '1.23 µs', '12.3 ms', '2.50 s']);
  assert.equal([7.4, 99, 125].map(durationText), ['7 s', '99 s', '2:05 min']);
  assert.is(parametersText({ bytes: 2 ** 20, stride: 256, 'writes %': 50 }), '1 MiB, stride 256 bytes, writes 50 %');
});

test.run();
