// The page of `node-kvm bench --html`: every figure is in it as text, it loads nothing, cannot be broken by what a report says; its
// charts hold the right points; and a browser, where there is one, draws them all.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bars, chartsOf, tail } from '../../src/main/cli/bench-charts.ts';
import { axisText, logSplits, rangeOf } from '../../src/main/cli/bench-page/axes.ts';
import { benchPage } from '../../src/main/cli/bench-page.ts';
import { fileSuite } from '../harness.ts';
import { labReport } from '../lab-report.ts';

const WORKLOADS = [{ suite: 'stream', name: 'triad', title: 'three streams', model: 'What `it` <measures>.' }];

const between = (text: string, start: string, end: string) => {
  const rest = text.slice(text.indexOf(start) + start.length);
  return rest.slice(0, rest.indexOf(end));
};

const rowsOf = (workload: string) => labReport().rows.filter(row => row.workload === workload);

const test = suite('bench page');

test('it says what was run, where, and what was not measured', () => {
  const html = benchPage(labReport(), WORKLOADS);
  assert.match(html, /<h1>Concurrency lab: a fixture<\/h1>/);
  assert.match(html, /12345/);
  assert.match(html, /2 × Invented CPU &lt;9000&gt;/);
  assert.match(html, /1\.2 % of CPU time stolen/);
  assert.match(html, /wake-ups\/ioeventfd: the library has none/);
  assert.match(html, /three streams.*\n<p>What <code>it<\/code> &lt;measures&gt;\.<\/p>/);
  assert.match(html, /&quot;seed&quot;: 12345/);
  assert.not.match(html, /\{\{/);
  assert.not.match(between(html, '<body>', '<script'), /undefined|NaN/);
});

test('every row has its figures as text: median, interval, ratio, peers, doubts, percentiles', () => {
  const html = benchPage(labReport(), WORKLOADS);
  assert.match(
    html,
    /<td>wasm:2<\/td><td>64 KiB<\/td><td class="number">57\.0<\/td><td class="number">55\.3 to 58\.7</,
  );
  assert.match(html, /<td class="number bad">0\.67 slower<\/td><td class="number">0\.64 to 0\.69</);
  assert.match(html, /<td class="number">51\.3<\/td>/);
  assert.match(html, /<td class="wrap warn">varies by 14 % between visits<\/td>/);
  assert.match(html, /<td class="number">11\.7 µs<\/td>.*<td class="number">56\.7 µs<\/td>/);
});

test('the litmus matrix has a column for each set of actors; what is forbidden and seen is told first', () => {
  const good = benchPage(labReport(), []);
  assert.match(good, /No forbidden outcome in 5,000,000 iterations of 5 tests/);
  assert.match(good, /<th scope="col">js<\/th><th scope="col">guest \+ js<\/th>/);
  assert.match(good, /<td class="seen">● 4,321 per million<\/td>/);
  const bad = benchPage(labReport({ failing: true }), []);
  assert.match(bad, /class="alarm">A forbidden outcome was seen in 1 of 5 tests/);
  assert.match(bad, /<td class="failed">✗ r0=0 r1=0 \(2 times\)<\/td>/);
});

test('an interrupted run says so', () => {
  assert.match(benchPage(labReport({ interrupted: true }), []), /class="alarm">This run was interrupted/);
  assert.not.match(benchPage(labReport(), []), /This run was interrupted/);
});

test('what failed is told first, and the rest is there', () => {
  const html = benchPage(labReport({ broken: true }), []);
  assert.match(html, /class="alarm">Not everything could be measured/);
  assert.match(html, /<li>access\/chase \(js:1, wasm:2; 2 rows missing\): ERR_LAB_ACTOR at .*&lt;status 1&gt;<\/li>/);
  assert.match(html, /<td>wasm:2<\/td>/);
  assert.not.match(benchPage(labReport(), []), /Not everything could be measured/);
});

test('it loads nothing: no address of a network, and a policy that forbids it', () => {
  const html = benchPage(labReport(), WORKLOADS);
  assert.not.match(html, /https?:|\/\/[a-z]+\.|<link|<img|@import|url\(|\bsrc=|fetch\(/i);
  assert.match(html, /default-src 'none'/);
});

test('what a report says cannot become markup', () => {
  const html = benchPage(labReport({ name: '</script><script>alert(1)</script>{{DATA}}' }), []);
  assert.not.match(html, /<script>alert/);
  assert.match(html, /&lt;script&gt;alert\(1\)/);
});

test('the script is one that a browser can parse, and carries the licence of what draws', () => {
  const html = benchPage(labReport(), []);
  assert.ok(new Script(between(html, '</script>\n<script>', '</script>')));
  assert.match(html, /MIT License.*Copyright \(c\) \d+ Leon Sorokin/s);
});

test('scaling: a chart for each size with a curve for each kind, and the baseline', () => {
  const charts = chartsOf(rowsOf('triad'), 'c').filter(({ x }) => x.quantity === 'count');
  assert.equal(
    charts.map(({ title }) => title),
    ['64 KiB', '2 MiB', '32 MiB'].map(size => `triad, by number of actors, ${size}`),
  );
  const [first] = charts;
  assert.equal(
    first?.curves.map(({ name }) => name),
    ['js', 'wasm', 'guest', 'guest+js', 'vm-memory', 'C baseline'],
  );
  assert.equal(first?.curves[0]?.points, [
    [1, 24],
    [2, 40],
  ]);
  assert.equal(first?.curves[5]?.isDashed, true);
  assert.is(new Set(first?.curves.map(({ colour }) => colour)).size, 6);
});

test('a swept size gives a chart over it for each number of actors, logarithmic', () => {
  const charts = chartsOf(rowsOf('triad'), 'c').filter(({ x }) => x.label === 'bytes');
  assert.equal(
    charts.map(({ title }) => title),
    ['triad, by bytes, 1 actor', 'triad, by bytes, 2 actors'],
  );
  assert.equal(charts[0]?.x, { label: 'bytes', quantity: 'bytes', isLog: true });
  assert.equal(
    charts[0]?.curves.find(({ name }) => name === 'wasm')?.points.map(([bytes]) => bytes),
    [2 ** 16, 2 ** 21, 2 ** 25],
  );
});

test('latencies: bars hold all samples once, a tail falls and ends above 0', () => {
  const latency = rowsOf('ping-pong')[0]?.latency;
  if (latency === undefined) throw new Error('the fixture has no latencies');
  const shares = bars(latency).map(([, share]) => share);
  assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 1) < 1e-9);
  assert.is(shares[0], 0);
  assert.is(shares.at(-1), 0);
  const points = tail(latency);
  assert.equal(points[0], [9000, 0.6]);
  assert.equal(points.at(-1)?.[1], 1 / 10_000);
  assert.ok(points.every(([, share], index) => index === 0 || share < (points[index - 1]?.[1] ?? 0)));
});

test('values over time: a chart for each name, a curve for each row', () => {
  const charts = chartsOf(rowsOf('storm'), 'c');
  assert.equal(
    charts.map(({ y, title, curves }) => [y.label, title, curves.map(({ name }) => name), curves[0]?.points.length]),
    ['dirty pages', 'harvested'].map(name => [
      'pages/s',
      `storm, ${name} over time, writes 50 %`,
      ['guest:2, source bitmap', 'guest:2, source pagemap'],
      40,
    ]),
  );
});

test('words are curves of one chart, each with its own baseline; too many of them are charts', () => {
  const [some] = rowsOf('triad');
  if (some === undefined) throw new Error('the fixture has no rows');
  const rowsWith = (words: readonly string[]) =>
    words.flatMap(spacing => [1, 2].map(count => ({ ...some, actors: `js:${count}`, count, parameters: { spacing } })));
  const [chart, ...none] = chartsOf(rowsWith(['shared', 'padded']), 'c');
  assert.is(none.length, 0);
  assert.equal(
    chart?.curves.map(({ name }) => name),
    ['js, spacing shared', 'js, spacing padded', 'C baseline, spacing shared', 'C baseline, spacing padded'],
  );
  assert.is(chartsOf(rowsWith([...'abcdefghi']), 'c').length, 9);
});

test('axes: marks within the range, ranges that hold everything, numbers as people write them', () => {
  assert.equal(logSplits(5, 'ns')(90, 12_000), [100, 1000, 10_000]);
  assert.equal(logSplits(6, 'number')(15, 60), [20, 50]);
  assert.equal(logSplits(4, 'bytes')(2 ** 16, 2 ** 25), [2 ** 16, 2 ** 19, 2 ** 22, 2 ** 25]);
  assert.equal(logSplits(6, 'share')(1e-5, 1), [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]);
  const wide = { isLog: false, fromZero: true, isCount: false };
  assert.equal(rangeOf([], wide), [0, 1]);
  assert.equal(rangeOf([0, Number.NaN], wide), [0, 1]);
  const [low, high] = rangeOf([3, 100], wide);
  assert.ok(low === 0 && high > 100);
  assert.equal(rangeOf([1, 2], { isLog: false, fromZero: false, isCount: true }), [0.5, 2.5]);
  assert.ok(rangeOf([0, 5], { ...wide, isLog: true })[0] > 0);
  assert.is(axisText(1500, 'ns'), '1.5 µs');
  assert.is(axisText(0.00001, 'share'), '0.001 %');
  assert.equal(logSplits(5, 'ns')(40e3, 6e6), [1e5, 3e5, 1e6, 3e6]);
  assert.equal(
    [4123, 41_234, 1_000_000].map(value => axisText(value, 'number')),
    ['4120', '41.2k', '1M'],
  );
  assert.is(axisText(2 ** 21, 'bytes'), '2 MiB');
});

test.run();

const CHROMIUM = '/usr/bin/chromium';
const browser = fileSuite(CHROMIUM, 'apt-get install chromium', 'bench page in a browser');

function domOf(html: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-bench-'));
  const file = join(folder, 'page.html');
  writeFileSync(file, html);
  try {
    return execFileSync(CHROMIUM, ['--headless', '--no-sandbox', '--disable-gpu', '--dump-dom', `file://${file}`], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 60_000,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

browser('it draws every chart, with a legend for each curve, without an error', () => {
  const dom = domOf(benchPage(labReport(), WORKLOADS));
  const charts = labReport().rows.length > 0 ? JSON.parse(between(dom, 'id="data">', '</script>')).charts : [];
  assert.ok(charts.length > 5);
  // The number is set after the last chart: an error on the way leaves it out.
  assert.match(dom, new RegExp(`<html[^>]* data-charts="${charts.length}"`));
  const curves = charts.reduce((sum: number, chart: { curves: unknown[] }) => sum + chart.curves.length, 0);
  assert.is(dom.match(/class="u-series"/g)?.length, curves + charts.length);
});

browser('a report without rows is a page as well', () => {
  const dom = domOf(benchPage({ ...labReport(), rows: [], litmus: [] }, []));
  assert.match(dom, /<html[^>]* data-charts="0"/);
});

browser.run();
