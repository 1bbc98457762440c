// The heat map's cells: where they lie, and that counting pages per cell agrees with counting them one by one.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../shared/units.ts';
import { Bins, cellBytesFor, cellsOf, type Span, stretchesOf } from '../../src/main/cli/heat-layout.ts';

const test = suite('heat layout');
const pages = (first: number, count: number): Span => ({ guestAddr: first * PAGE_SIZE, size: count * PAGE_SIZE });

test('regions that touch are one stretch, a hole parts them', () => {
  assert.equal(stretchesOf([pages(0, 3), pages(3, 1), pages(8, 2)]), [pages(0, 4), pages(8, 2)]);
});

test('cells begin anew with each stretch, and the last may be shorter', () => {
  assert.equal(cellsOf([pages(0, 5), pages(9, 1)], 2 * PAGE_SIZE), [
    pages(0, 2),
    pages(2, 2),
    pages(4, 1),
    pages(9, 1),
  ]);
});

test('the smallest cells that fit are taken, but never more than the memory itself', () => {
  const memory = [pages(0, 64)];
  assert.is(
    cellBytesFor(memory, bytes => cellsOf(memory, bytes).length <= 16),
    4 * PAGE_SIZE,
  );
  assert.is(
    cellBytesFor(memory, () => false),
    64 * PAGE_SIZE,
  );
});

test('pages per cell agree with a page by page model', () => {
  const spans = fc
    .array(fc.record({ gap: fc.integer({ min: 0, max: 9 }), length: fc.integer({ min: 1, max: 9 }) }), {
      maxLength: 12,
    })
    .map(parts => {
      let at = 0;
      return parts.map(({ gap, length }) => {
        const span = pages(at + gap, length);
        at += gap + length;
        return span;
      });
    });
  fc.assert(
    fc.property(spans, spans, (bins, dirty) => {
      const counts = new Uint32Array(bins.length);
      new Bins(bins).count(Float64Array.from(dirty.flatMap(({ guestAddr, size }) => [guestAddr, size])), counts);
      const has = ({ guestAddr, size }: Span, address: number) => guestAddr <= address && address < guestAddr + size;
      const model = bins.map(bin => {
        let count = 0;
        for (let address = bin.guestAddr; address < bin.guestAddr + bin.size; address += PAGE_SIZE)
          if (dirty.some(range => has(range, address))) count += 1;
        return count;
      });
      assert.equal([...counts], model);
    }),
  );
});

test.run();
