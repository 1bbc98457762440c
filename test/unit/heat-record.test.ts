// What a heat map remembers: sums survive the merging of intervals, time has no gaps, the size is bounded; working set and
// distinct pages agree with sets of pages.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../shared/units.ts';
import { PageHistory } from '../../src/main/cli/heat-pages.ts';
import { HeatRecord } from '../../src/main/cli/heat-record.ts';

const test = suite('heat record');
const MEMORY = [{ guestAddr: 0, size: 64 * PAGE_SIZE }];
const range = (...pairs: [first: number, count: number][]) =>
  Float64Array.from(pairs.flatMap(([first, count]) => [first * PAGE_SIZE, count * PAGE_SIZE]));

/** Ascending ranges of single pages. */
const single = (pages: Iterable<number>) =>
  range(...[...new Set(pages)].sort((a, b) => a - b).map((page): [number, number] => [page, 1]));

test('an interval has its pages by cell', () => {
  const record = new HeatRecord(MEMORY, 100, { intervals: 8, cells: 4 });
  record.add(range([0, 2], [15, 2], [63, 1]), 0, 100);
  assert.is(record.cellBytes, 16 * PAGE_SIZE);
  assert.equal([...(record.intervals[0]?.cells ?? [])], [3, 1, 0, 1]);
  assert.is(record.pages, 5);
  assert.is(record.rate, 50);
});

test('memory stays bounded, and nothing is lost: pairs of intervals are merged', () => {
  const record = new HeatRecord(MEMORY, 10, { intervals: 8, cells: 4 });
  for (let n = 0; n < 1000; n++) {
    record.add(range([n % 64, 1]), n * 10, n * 10 + 10);
    assert.ok(record.intervals.length <= 8);
  }
  const { intervals } = record;
  assert.ok(intervals.length >= 4);
  assert.is(
    intervals.reduce((sum, { pages }) => sum + pages, 0),
    1000,
  );
  assert.is(
    intervals.reduce((sum, { cells }) => sum + cells.reduce((a, b) => a + b, 0), 0),
    1000,
  );
  assert.is(
    intervals.reduce((sum, { harvests }) => sum + harvests, 0),
    1000,
  );
  assert.is(intervals[0]?.beginMs, 0);
  for (const [index, { beginMs }] of intervals.entries())
    if (index > 0) assert.is(beginMs, intervals[index - 1]?.endMs, 'no gap');
  assert.is(new Set(intervals.slice(0, -1).map(({ harvests }) => harvests)).size, 1, 'all but the last are alike');
});

test('regions have totals of their own, also when a cell lies across their border', () => {
  const regions = [
    { guestAddr: 0, size: 3 * PAGE_SIZE },
    { guestAddr: 3 * PAGE_SIZE, size: 13 * PAGE_SIZE },
  ];
  const record = new HeatRecord(regions, 100, { intervals: 8, cells: 2 });
  record.add(range([2, 4]), 0, 100);
  record.add(range([2, 1]), 100, 200);
  assert.is(record.regionTotal(0), 2);
  assert.is(record.regionTotal(1), 3);
});

test('a rate is not taken over a few milliseconds', () => {
  const record = new HeatRecord(MEMORY, 5, { intervals: 8, cells: 4 });
  record.add(range([0, 1]), 0, 99);
  record.add(range([0, 60]), 99, 100);
  assert.is(record.peakRate, 610);
});

test('working set and distinct pages agree with sets', () => {
  const harvests = fc.array(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 12 }), { maxLength: 30 });
  fc.assert(
    fc.property(harvests, fc.integer({ min: 1, max: 6 }), (all, window) => {
      // Pages 0 to 9 and 14 to 20; the hole's pages do not count.
      const stretches = [
        { guestAddr: 0, size: 10 * PAGE_SIZE },
        { guestAddr: 14 * PAGE_SIZE, size: 7 * PAGE_SIZE },
      ];
      const history = new PageHistory(stretches, window);
      const known = all.map(pages => pages.filter(page => page < 10 || page >= 14));
      for (const [index, pages] of all.entries()) {
        history.add(single(pages));
        const seen = known.slice(0, index + 1);
        assert.is(history.ever, new Set(seen.flat()).size);
        assert.is(history.workingSet, new Set(seen.slice(-window).flat()).size);
      }
      const second = new Set(known.flat().filter(page => page >= 14));
      assert.is(history.everIn({ guestAddr: 12 * PAGE_SIZE, size: 20 * PAGE_SIZE }), second.size);
    }),
  );
});

test.run();
