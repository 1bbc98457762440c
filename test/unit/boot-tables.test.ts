// The tables that vCPUs start with, read as the processor reads them: a page walk and descriptors of known value.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { descriptorTables, identityMap, identityMapSize, SELECTORS } from '../../src/main/images/boot-tables.ts';

const test = suite('boot tables');
const GIB = 2 ** 30;
const BASE = 0x20_0000;
const ADDRESS_BITS = 0x000f_ffff_ffff_f000n;

/** The physical address that the tables at BASE give for `linear`, as the processor walks them. */
function walk(tables: Uint8Array, linear: number, user: boolean): number | undefined {
  const view = new DataView(tables.buffer);
  let table = BASE;
  for (const shift of [39, 30, 21]) {
    const index = Math.floor(linear / 2 ** shift) % 512;
    const entry = view.getBigUint64(table - BASE + index * 8, true);
    if ((entry & 3n) !== 3n || (user && (entry & 4n) === 0n)) return undefined;
    if ((entry & 0x80n) !== 0n) return Number(entry & ADDRESS_BITS & ~0x1f_ffffn) + (linear % 2 ** shift);
    table = Number(entry & ADDRESS_BITS);
  }
  throw new Error(`no large page for ${linear}`);
}

for (const limit of [4, 5, 64, 600]) {
  test(`${limit} GiB are identity-mapped, and nothing behind them`, () => {
    const tables = identityMap(BASE, limit * GIB, false);
    assert.is(tables.byteLength, identityMapSize(limit * GIB));
    for (const address of [0, 0xfff, 0x20_0000, GIB - 1, 3 * GIB + 12345, limit * GIB - 1]) {
      assert.is(walk(tables, address, false), address);
    }
    assert.is(walk(tables, limit * GIB, false), undefined);
  });
}

test('ring 3 reaches pages only when they are user pages', () => {
  assert.is(walk(identityMap(BASE, 4 * GIB, true), 0x1234, true), 0x1234);
  assert.is(walk(identityMap(BASE, 4 * GIB, false), 0x1234, true), undefined);
});

test('descriptors have the values of the manual', () => {
  const view = new DataView(descriptorTables(0x7f_f000).buffer);
  const at = (selector: number) => view.getBigUint64(selector & ~7, true);
  assert.is(at(0), 0n);
  assert.is(at(SELECTORS.kernelCode64), 0x00af_9b00_0000_ffffn);
  assert.is(at(SELECTORS.kernelData), 0x00cf_9300_0000_ffffn);
  assert.is(at(SELECTORS.kernelCode32), 0x00cf_9b00_0000_ffffn);
  assert.is(at(SELECTORS.userData), 0x00cf_f300_0000_ffffn);
  assert.is(at(SELECTORS.userCode64), 0x00af_fb00_0000_ffffn);
  assert.is(at(SELECTORS.task), 0x0000_8b7f_f100_2068n);
  assert.is(view.getBigUint64(SELECTORS.task + 8, true), 0n);
});

test('ring 3 may use every port: the I/O bitmap is zero up to its closing byte', () => {
  const page = descriptorTables(0);
  const tss = 0x100;
  const bitmap = tss + new DataView(page.buffer).getUint16(tss + 102, true);
  assert.ok(page.subarray(bitmap, bitmap + 0x1_0000 / 8).every(byte => byte === 0));
  assert.is(page[bitmap + 0x1_0000 / 8], 0xff);
});

test.run();
