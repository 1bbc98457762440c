// The transaction: begin, look, commit or abort; one at a time; every view of it shows the same pages.

import { KvmMemory, u8 } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('dirty: harvest');

const PAGE = 4096;
const write = (memory: KvmMemory, ...pages: number[]) => {
  for (const page of pages) memory.writeObj(page * PAGE, u8, 1);
};

/** 100 pages in one region and, right after them, 30 in another; tracking is on. */
function tracked(): KvmMemory {
  const memory = new KvmMemory(100 * PAGE);
  memory.addRegion(100 * PAGE, 30 * PAGE);
  memory.enableDirtyTracking();
  return memory;
}

test('ranges are merged, across regions too; count and bitmaps agree', () => {
  using memory = tracked();
  write(memory, 0, 31, 32, 33, 63, 64, 98, 99, 100, 101, 129);
  using harvest = memory.harvest();
  assert.equal(harvest.ranges(), [
    { guestAddr: 0, size: PAGE },
    { guestAddr: 31 * PAGE, size: 3 * PAGE },
    { guestAddr: 63 * PAGE, size: 2 * PAGE },
    { guestAddr: 98 * PAGE, size: 4 * PAGE },
    { guestAddr: 129 * PAGE, size: PAGE },
  ]);
  assert.is(harvest.pageCount, 11);
  const [first, second] = memory.regions();
  const bits = (region: { guestAddr: number; size: number } | undefined) =>
    [...harvest.bitmap(region as { guestAddr: number; size: number })].flatMap((byte, index) =>
      [0, 1, 2, 3, 4, 5, 6, 7].filter(bit => (byte >> bit) & 1).map(bit => index * 8 + bit),
    );
  assert.equal(bits(first), [0, 31, 32, 33, 63, 64, 98, 99]);
  assert.equal(bits(second), [0, 1, 29]);
  assert.is(harvest.bitmap(first as { guestAddr: number; size: number }).length, 16);
  assert.equal(bits({ guestAddr: 32 * PAGE, size: 2 * PAGE }), [0, 1]);
});

test("abort keeps every page, commit forgets them, writes meanwhile are the next harvest's", () => {
  using memory = tracked();
  write(memory, 3);
  const first = memory.harvest();
  write(memory, 3, 7);
  first.abort();
  const second = memory.harvest();
  assert.is(second.pageCount, 2);
  write(memory, 7);
  second.commit();
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 7 * PAGE, size: PAGE }]);
  assert.equal(memory.getDirtyPages(), []);
});

test('one is open at a time, and an ended one says so', async () => {
  using memory = tracked();
  const harvest = memory.harvest();
  assert.is(await codeOf(() => memory.harvest()), 'ERR_HARVEST_OPEN');
  assert.is(await codeOf(() => memory.getDirtyPages()), 'ERR_HARVEST_OPEN');
  harvest.commit();
  for (const use of [
    () => harvest.commit(),
    () => harvest.abort(),
    () => harvest.ranges(),
    () => harvest.pageCount,
    () => harvest.bitmap({ guestAddr: 0, size: PAGE }),
  ]) {
    assert.is(await codeOf(use), 'ERR_HARVEST_ENDED');
  }
  harvest[Symbol.dispose]();
  assert.equal(memory.getDirtyPages(), []);
});

test('leaving a using block without a commit loses nothing', () => {
  using memory = tracked();
  write(memory, 5);
  assert.throws(() => {
    using harvest = memory.harvest();
    assert.is(harvest.pageCount, 1);
    throw new Error('the replica is gone');
  }, /replica/);
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 5 * PAGE, size: PAGE }]);
});

test('a region removed under an open harvest is still in it; one that is added is not', async () => {
  using memory = tracked();
  write(memory, 105);
  const harvest = memory.harvest();
  memory.removeRegion(100 * PAGE);
  memory.addRegion(200 * PAGE, PAGE);
  write(memory, 200);
  assert.equal(harvest.ranges(), [{ guestAddr: 105 * PAGE, size: PAGE }]);
  assert.is(await codeOf(() => harvest.bitmap({ guestAddr: 200 * PAGE, size: PAGE })), 'ERR_MEMORY_UNMAPPED');
  harvest.abort();
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 200 * PAGE, size: PAGE }]);
});

test('the bitmap of a region that was split since covers all of it; one over a gap is refused', async () => {
  using memory = tracked();
  const [region] = memory.regions();
  using _watch = memory.watch({ guestAddr: 70 * PAGE, size: PAGE }, () => {});
  write(memory, 3);
  memory.write(69 * PAGE, new Uint8Array(3 * PAGE));
  using harvest = memory.harvest();
  const bits = harvest.bitmap(region as { guestAddr: number; size: number });
  const pages = [...bits].flatMap((byte, index) =>
    [...Array(8).keys()].flatMap(bit => (byte & (1 << bit) ? [index * 8 + bit] : [])),
  );

  assert.equal(pages, [3, 69, 70, 71]);
  assert.is(bits.length, 16);
  assert.is(await codeOf(() => harvest.bitmap({ guestAddr: 0, size: 131 * PAGE })), 'ERR_MEMORY_UNMAPPED');
});

test('every way to write through the API is seen', () => {
  using memory = tracked();
  memory.write(10 * PAGE - 1, new Uint8Array(2));
  memory.write(12 * PAGE, new Uint8Array(3 * PAGE));
  memory.memset(20 * PAGE + 5, 0, 2 * PAGE);
  memory.atomics.or(30 * PAGE, u8, 0);
  memory.writeObj(40 * PAGE + 4095, u8, 0);
  memory.read(50 * PAGE, new Uint8Array(PAGE));
  assert.equal(
    memory.getDirtyPages().map(({ guestAddr, size }) => [guestAddr / PAGE, size / PAGE]),
    [
      [9, 2],
      [12, 3],
      [20, 3],
      [30, 1],
      [40, 1],
    ],
  );
});

test('a bitmap is asked for by a range: anything else is refused, and bigints are fine', async () => {
  using memory = tracked();
  write(memory, 3);
  using harvest = memory.harvest();
  const ask = (range: unknown) => codeOf(() => harvest.bitmap(range as { guestAddr: number; size: number }));

  assert.is(harvest.bitmap({ guestAddr: 0n, size: BigInt(PAGE * 8) })[0], 1 << 3);
  for (const range of [undefined, null, 5, {}, { guestAddr: 0 }, { guestAddr: '0', size: PAGE }])
    assert.is(await ask(range), 'ERR_INVALID_ARG_TYPE', JSON.stringify(range));
  assert.is(await ask({ guestAddr: Number.NaN, size: PAGE }), 'ERR_OUT_OF_RANGE');
  assert.is(await ask({ guestAddr: 0, size: 0 }), 'ERR_OUT_OF_RANGE');
  assert.is(await ask({ guestAddr: 1, size: PAGE }), 'ERR_MEMORY_ALIGNMENT');
});

test.run();
