// What is called a difference between two reports: under noise of many kinds, the same code in at most 5 % of rows, and code that is 10 % faster by
// most. Simulated, since only there the truth is known; `npm run bench:lab-aa` does it with real runs.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Comparison, compareReports, type Verdict } from '../../src/main/lab/compare.ts';
import type { LabReport, Row } from '../../src/main/lab/report.ts';
import { seededRandom } from '../../src/main/lab/statistics.ts';
import { GROUP, type Noise, reportOf, reportPair, rowOf } from '../lab-noise.ts';

const test = suite('lab compare');

const QUIET: Noise = { name: 'a quiet machine', repetition: 0.02, visit: 0.02, run: 0.005 };
const NOISES: readonly Noise[] = [
  QUIET,
  { name: 'visits that vary', repetition: 0.04, visit: 0.04, run: 0.01 },
  { name: 'processes that differ by 2 %', repetition: 0.03, visit: 0.02, run: 0.02 },
  { name: 'heavy tails', repetition: 0.03, visit: 0.02, run: 0.01, tail: { share: 0.2, by: 0.2 } },
  { name: 'two modes of visits', repetition: 0.02, visit: 0.02, run: 0.01, mode: { share: 0.3, by: 0.3 } },
  { name: 'drift', repetition: 0.02, visit: 0.02, run: 0.01, walk: 0.02 },
  { name: 'a trend in each run', repetition: 0.02, visit: 0.02, run: 0.01, trend: 0.2 },
];
const mixed = (row: number): Noise => NOISES[Math.floor(row / GROUP) % NOISES.length] ?? QUIET;
const REPETITIONS = 4;
const ROWS = 70;
const PAIRS = 4;

function tally(comparisons: readonly Comparison[], keep: (row: number) => boolean = () => true) {
  const counts: Record<Verdict, number> = {
    faster: 0,
    slower: 0,
    same: 0,
    doubtful: 0,
    'only in a': 0,
    'only in b': 0,
  };
  let rows = 0;
  for (const comparison of comparisons) {
    for (const [index, { verdict }] of comparison.rows.entries()) {
      if (!keep(index)) continue;
      counts[verdict] += 1;
      rows += 1;
    }
  }
  return { ...counts, rows };
}

for (const noise of NOISES) {
  test(`the same code, ${noise.name}: a difference in at most 5 % of rows`, () => {
    const random = seededRandom(1);
    const comparisons = Array.from({ length: PAIRS }, () =>
      compareReports(
        ...reportPair({
          random,
          noise: () => noise,
          rows: ROWS,
          visits: 10,
          repetitions: REPETITIONS,
          hasBaseline: row => row % 4 !== 0,
        }),
      ),
    );
    const { faster, slower, rows } = tally(comparisons);
    assert.ok((faster + slower) / rows <= 0.05, `${faster} faster, ${slower} slower of ${rows}`);
  });
}

for (const visits of [5, 10, 20]) {
  test(`the same code, noise of all kinds, ${visits} visits: a difference in at most 5 % of rows with a baseline and of those without`, () => {
    const random = seededRandom(visits);
    const hasBaseline = (row: number) => row % 3 !== 0;
    const comparisons = Array.from({ length: PAIRS }, () =>
      compareReports(
        ...reportPair({ random, noise: mixed, rows: ROWS, visits, repetitions: REPETITIONS, hasBaseline }),
      ),
    );
    for (const keep of [hasBaseline, (row: number) => !hasBaseline(row)]) {
      const { faster, slower, rows } = tally(comparisons, keep);
      assert.ok((faster + slower) / rows <= 0.05, `${faster} faster, ${slower} slower of ${rows}`);
    }
  });
}

for (const [speedup, verdict] of [
  [1.1, 'faster'],
  [1 / 1.1, 'slower'],
] as const) {
  test(`code that is ${verdict} by 10 % in a tenth of the rows: found in 9 of 10 of them, and not in the others`, () => {
    const random = seededRandom(2);
    const changed = (row: number) => row % 10 === 0;
    const comparisons = Array.from({ length: PAIRS }, () =>
      compareReports(
        ...reportPair({
          random,
          noise: () => QUIET,
          rows: ROWS,
          visits: 10,
          repetitions: REPETITIONS,
          hasBaseline: () => true,
          speedup: row => (changed(row) ? speedup : 1),
        }),
      ),
    );
    const found = tally(comparisons, changed);
    assert.ok(found[verdict] / found.rows >= 0.9, `${found[verdict]} of ${found.rows}`);
    const others = tally(comparisons, row => !changed(row));
    assert.ok((others.faster + others.slower) / others.rows <= 0.05);
    assert.ok(others.same / others.rows >= 0.9, 'doubts about everything would also raise no false alarm');
  });
}

test('all code faster by 25 % on noisy visits, without a baseline: found', () => {
  const random = seededRandom(3);
  const noise = { ...QUIET, visit: 0.04 };
  const comparisons = Array.from({ length: PAIRS }, () =>
    compareReports(
      ...reportPair({
        random,
        noise: () => noise,
        rows: 20,
        visits: 10,
        repetitions: REPETITIONS,
        hasBaseline: () => false,
        speedup: () => 1.25,
      }),
    ),
  );
  const { faster, rows } = tally(comparisons);
  assert.ok(faster / rows >= 0.9, `${faster} of ${rows}`);
});

// What follows are single rows whose visits are given, so that each rule is seen alone.

const spread = (level: number) => [0.99, 0.995, 1, 1.005, 1.01].map(factor => [level * factor]);
const random = () => seededRandom(1);
const plain = (level: number, id = 'x') => rowOf(id, random(), spread(level));
const based = (level: number, base: number, id = 'x') => rowOf(id, random(), spread(level), spread(base));
const compareOne = (a: Row, b: Row) => {
  const { rows } = compareReports(reportOf([a]), reportOf([b]));
  assert.is(rows.length, 1);
  const [row] = rows;
  assert.ok(row);
  return row;
};

test('lower is better: fewer nanoseconds are faster', () => {
  const nanoseconds = (row: Row): Row => ({ ...row, unit: 'ns', better: 'lower' });
  const { verdict, change, speedup, by } = compareOne(nanoseconds(plain(100)), nanoseconds(plain(50)));
  assert.equal({ verdict, change, speedup, by }, { verdict: 'faster', change: -0.5, speedup: 2, by: 'value' });
});

test('intervals that do not touch are no difference when the medians are near', () => {
  const { verdict, needed = 0 } = compareOne(based(100, 100), based(104, 100));
  assert.is(verdict, 'same');
  assert.ok(Math.abs(needed - 0.05) < 1e-9);
});

test('a slower machine is no slower code: the ratio is what is compared', () => {
  const a = reportOf([based(100, 200, 'x'), based(50, 70, 'y'), based(10, 20, 'z')]);
  const b = reportOf([based(70, 140, 'x'), based(35, 49, 'y'), based(4, 14, 'z')]);
  const { rows, machine } = compareReports(a, b);
  assert.equal(
    rows.map(({ verdict, by }) => [verdict, by]),
    [
      ['same', 'ratio'],
      ['same', 'ratio'],
      ['slower', 'ratio'],
    ],
  );
  assert.ok(Math.abs(machine.shift + 0.3) < 1e-9 && machine.spread < 1e-9);
  assert.is(machine.baselines, 3);
});

test('a value without a ratio must move further than the machine did', () => {
  const a = reportOf([based(100, 200, 'x'), based(50, 70, 'y'), plain(10, 'z')]);
  const b = reportOf([based(85, 170, 'x'), based(42.5, 59.5, 'y'), plain(8.7, 'z')]);
  assert.is(compareReports(a, b).rows[2]?.verdict, 'same');
  const worse = reportOf([...b.rows.slice(0, 2), plain(7, 'z')]);
  assert.is(compareReports(a, worse).rows[2]?.verdict, 'slower');
});

test('a row whose baseline alone moved is not called: the same code did it', () => {
  const others = ['p', 'q', 'r', 's'].map(id => based(100, 100, id));
  const a = reportOf([based(100, 100, 'x'), ...others]);
  const b = reportOf([based(100, 90, 'x'), ...others]);
  assert.is(compareReports(a, b).rows[0]?.verdict, 'same');
});

test('doubts of a row and noise make a difference doubtful, and are told', () => {
  const doubted = compareOne(based(100, 100), { ...based(200, 100), doubts: ['12 % stolen'] });
  assert.is(doubted.verdict, 'doubtful');
  assert.equal(doubted.notes, ['b: 12 % stolen']);
  const wide = (level: number) =>
    rowOf(
      'x',
      random(),
      [0.5, 0.7, 1, 1.3, 1.5].map(factor => [level * factor]),
    );
  const noisy = compareOne(wide(100), wide(130));
  assert.is(noisy.verdict, 'doubtful');
  assert.match(noisy.notes[0] ?? '', /^only a difference above \d+ % could have been seen$/);
  assert.is(compareOne(plain(0), plain(100)).verdict, 'doubtful');
});

test('figures of different units are not held against each other', () => {
  const { verdict, speedup, notes } = compareOne(plain(100), { ...plain(100_000), unit: 'ns', better: 'lower' });
  assert.equal([verdict, speedup], ['doubtful', undefined]);
  assert.match(notes[0] ?? '', /Mops\/s.*in a; ns.*in b/);
});

test('rows of one report only, and the order', () => {
  const a = reportOf([plain(1, 'x'), plain(1, 'y')]);
  const b = reportOf([plain(1, 'z'), plain(1, 'y')]);
  const { rows, counts } = compareReports(a, b);
  assert.equal(
    rows.map(({ id, verdict }) => `${id} ${verdict}`),
    ['x only in a', 'y same', 'z only in b'],
  );
  assert.equal(counts, { faster: 0, slower: 0, same: 1, doubtful: 0, 'only in a': 1, 'only in b': 1 });
});

test('reports of other machines, Nodes and samplings are compared with caveats', () => {
  const a = reportOf([]);
  assert.equal(compareReports(a, a).caveats, []);
  const b: LabReport = {
    ...a,
    machine: { ...a.machine, node: 'v99', flags: ['--jitless'] },
    scenario: { ...a.scenario, visits: 5 },
    interrupted: true,
  };
  assert.equal(compareReports(a, b).caveats, [
    'node: none in a, v99 in b',
    'flags: none in a, --jitless in b',
    'visits: 10 in a, 5 in b',
    'b ended early',
  ]);
});

test.run();
