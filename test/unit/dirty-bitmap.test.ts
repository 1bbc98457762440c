// DirtyBitmap against a plain set of page numbers.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DirtyBitmap } from '../../shared/dirty-bitmap.ts';

const test = suite('dirty bitmap');

const sizes = fc.integer({ min: 1, max: 300 });
const someOf = (pages: number) =>
  fc.oneof(
    fc.uniqueArray(fc.nat(pages - 1)),
    fc.constant(Array.from({ length: pages }, (_none, page) => page)),
    fc
      .tuple(fc.nat(pages - 1), fc.nat(pages - 1))
      .map(([a, b]) => Array.from({ length: Math.abs(a - b) + 1 }, (_none, i) => Math.min(a, b) + i)),
  );
const cases = sizes.chain(pages =>
  fc.record({
    pages: fc.constant(pages),
    set: someOf(pages),
    part: fc
      .tuple(fc.nat(pages - 1), fc.nat(pages - 1))
      .map(([a, b]) => ({ first: Math.min(a, b), count: Math.abs(a - b) + 1 })),
  }),
);

function bitmapOf(pages: number, set: readonly number[]): DirtyBitmap {
  const bitmap = new DirtyBitmap(pages);
  for (const page of set) bitmap.bytes[page >>> 3] = (bitmap.bytes[page >>> 3] ?? 0) | (1 << (page & 7));
  return bitmap;
}

const pagesOf = (bitmap: DirtyBitmap) =>
  Array.from({ length: bitmap.bytes.length * 8 }, (_none, page) => page).filter(page => bitmap.has(page));
const sorted = (set: Iterable<number>) => [...set].sort((a, b) => a - b);

test('runs, slice, removal: as a set would', () => {
  fc.assert(
    fc.property(cases, ({ pages, set, part: { first, count } }) => {
      const bitmap = bitmapOf(pages, set);
      const inside = sorted(set).filter(page => page >= first && page < first + count);

      const found: number[] = [];
      let lastEnd = -1;
      bitmap.eachRun(first, count, (page, run) => {
        assert.ok(page > lastEnd && run > 0, 'ascending, and merged');
        lastEnd = page + run;
        for (let i = 0; i < run; i++) found.push(page + i);
      });
      assert.equal(found, inside);
      assert.equal(
        pagesOf(bitmap.slice(first, count)),
        inside.map(page => page - first),
      );
      bitmap.removeRange(first, count);
      assert.equal(
        pagesOf(bitmap),
        sorted(set).filter(page => !inside.includes(page)),
      );
    }),
    { numRuns: 500 },
  );
});

test('ranges are added', () => {
  fc.assert(
    fc.property(cases, ({ pages, set, part: { first, count } }) => {
      const bitmap = bitmapOf(pages, set);
      bitmap.addRange(first, count);
      const range = Array.from({ length: count }, (_none, index) => first + index);
      assert.equal(pagesOf(bitmap), sorted(new Set([...set, ...range])));
    }),
    { numRuns: 500 },
  );
});

test('groups are completed, wherever the first one begins, and never beyond the last page', () => {
  const groups = fc
    .integer({ min: 1, max: 80 })
    .chain(size => fc.tuple(fc.constant(size), fc.integer({ min: 1, max: size })));
  fc.assert(
    fc.property(cases, groups, ({ pages, set }, [size, phase]) => {
      const groupOf = (page: number) => Math.floor((page - phase) / size);
      const dirty = new Set(set.map(groupOf));
      const bitmap = bitmapOf(pages, set);
      const visited: number[] = [];
      bitmap.completeGroups(size, phase, (first, count) => {
        assert.is(groupOf(first), groupOf(first + count - 1));
        visited.push(groupOf(first));
      });
      assert.equal(
        pagesOf(bitmap),
        Array.from({ length: pages }, (_none, page) => page).filter(page => dirty.has(groupOf(page))),
      );
      assert.equal(visited, sorted(dirty));
    }),
    { numRuns: 500 },
  );
});

test('as long as KVM writes it: whole 64-bit words', () => {
  assert.equal(
    [1, 64, 65].map(pages => new DirtyBitmap(pages).bytes.length),
    [8, 8, 16],
  );
});

test.run();
