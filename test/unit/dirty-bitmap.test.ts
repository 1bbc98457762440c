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

test('runs, count, slice, removal: as a set would', () => {
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
      assert.is(bitmap.count(first, count), inside.length);
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

test('or and orAt: union, shifted', () => {
  fc.assert(
    fc.property(cases, cases, fc.nat(200), (a, b, shift) => {
      const pages = shift + Math.max(a.pages, b.pages);
      const bitmap = bitmapOf(pages, a.set);
      bitmap.orAt(shift, bitmapOf(b.pages, b.set));
      const union = sorted(new Set([...a.set, ...b.set.map(page => page + shift)]));
      assert.equal(pagesOf(bitmap), union);

      const other = new DirtyBitmap(pages);
      other.or(bitmap);
      assert.equal(pagesOf(other), union);
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
