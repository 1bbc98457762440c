// The memory map and the initrd's place, against a naive model that asks page by page.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { memoryMap, placeInitrd } from '../../src/main/images/linux-memory.ts';
import type { RamRegion } from '../../src/main/images/ranges.ts';
import { codeOf } from '../images.ts';

const test = suite('linux memory');
const PAGE = 4096;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TABLES_END = 0xe_0123;

/** Regions of whole pages, in any order, some read-only, some adjacent, none overlapping; the first one begins at 0. */
const someRegions = fc
  .array(
    fc.record({
      gap: fc.constantFrom(0, 0, 1, 16, 700),
      pages: fc.integer({ min: 1, max: 600 }),
      readOnly: fc.constantFrom(false, false, false, true),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map(pieces => {
    let next = 0;
    return pieces.map(({ gap, pages, readOnly }, index): RamRegion => {
      const guestAddr = index === 0 ? 0 : next + gap * PAGE;
      next = guestAddr + pages * PAGE;
      return { guestAddr, size: pages * PAGE, readOnly };
    });
  })
  .chain(regions => fc.shuffledSubarray(regions, { minLength: regions.length }));

/** What a byte at `addr` is: 1 RAM, 2 reserved, 3 ACPI, undefined nothing. */
function kindAt(regions: readonly RamRegion[], addr: number): number | undefined {
  if (addr >= 0xe_0000 && addr < 0xe_1000) return 3;
  if ((addr >= 0x9_fc00 && addr < 0xa_0000) || (addr >= 0xe_1000 && addr < MIB)) return 2;
  if (addr >= 0xa_0000 && addr < 0xe_0000) return undefined;
  const region = regions.find(({ guestAddr, size }) => addr >= guestAddr && addr < guestAddr + size);
  return region === undefined ? undefined : region.readOnly ? 2 : 1;
}

test('every page is what its region says, but for the PC below 1 MiB', () => {
  const property = fc.property(someRegions, regions => {
    const map = memoryMap(regions, TABLES_END);
    for (const [index, { start, end }] of map.entries()) {
      assert.ok(start < end && (index === 0 || start >= (map[index - 1]?.end ?? 0)), 'ascending, none empty');
    }
    const limit = Math.max(...regions.map(({ guestAddr, size }) => guestAddr + size), MIB) + PAGE;
    // A quarter of a page is the finest border there is.
    for (let addr = 0; addr < limit; addr += PAGE / 4) {
      const found = map.find(({ start, end }) => addr >= start && addr < end)?.type;
      if (found !== kindAt(regions, addr)) assert.is(found, kindAt(regions, addr), `at 0x${addr.toString(16)}`);
    }
  });
  fc.assert(property, { numRuns: 60 });
});

test('a map of more pieces than boot_params has room for is refused', () => {
  const regions = Array.from({ length: 200 }, (_, index) => ({
    guestAddr: 2 * index * MIB,
    size: MIB,
    readOnly: false,
  }));
  assert.is(
    codeOf(() => memoryMap(regions, TABLES_END)),
    'ERR_IMAGE_RANGE',
  );
});

test('the initrd is as high as the first piece of RAM, the kernel and the hole let it', () => {
  const ram = (size: number): RamRegion[] => [{ guestAddr: 0, size, readOnly: false }];
  const at = (regions: RamRegion[], size: number, addrMax = 0xffff_ffff, kernelEnd = 2 * MIB) =>
    placeInitrd(regions, { size, addrMax, kernelEnd }).start;

  assert.is(at(ram(8 * MIB), PAGE), 8 * MIB - PAGE);
  assert.is(at(ram(8 * MIB), 1), 8 * MIB - PAGE);
  assert.is(at(ram(8 * MIB), PAGE + 1), 8 * MIB - 2 * PAGE);
  assert.is(at(ram(8 * MIB), 6 * MIB), 2 * MIB);
  assert.is(at(ram(8 * MIB), PAGE, 4 * MIB - 1), 4 * MIB - PAGE);
  assert.is(at(ram(8 * MIB), PAGE, 4 * MIB - 2), 4 * MIB - 2 * PAGE);
  assert.is(at(ram(3 * GIB), PAGE), 3 * GIB - PAGE);
  assert.is(at([...ram(4 * MIB), { guestAddr: 4 * MIB, size: MIB, readOnly: false }], PAGE), 5 * MIB - PAGE);
  assert.is(at([...ram(4 * MIB), { guestAddr: 5 * MIB, size: MIB, readOnly: false }], PAGE), 4 * MIB - PAGE);
  assert.is(
    codeOf(() => at(ram(8 * MIB), 6 * MIB + 1)),
    'ERR_IMAGE_RANGE',
  );
});

test.run();
