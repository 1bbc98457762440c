// A harvest as data: pairs in a reused buffer, bitmaps, counts; and what regions that change under it do to it.

import { KvmMemory, u8 } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('dirty: harvest as data');

const PAGE = 4096;
const MIB = 1 << 20;
const GIB = 1 << 30;
const write = (memory: KvmMemory, ...pages: number[]) => {
  for (const page of pages) memory.writeObj(page * PAGE, u8, 1);
};

function tracked(size: number): KvmMemory {
  const memory = new KvmMemory(size);
  memory.enableDirtyTracking();
  return memory;
}

const inPages = (pairs: Iterable<number>) => [...pairs].map(each => each / PAGE);

test('rangeArray is what ranges() says, in pairs', () => {
  using memory = tracked(100 * PAGE);
  memory.addRegion(100 * PAGE, 30 * PAGE);
  write(memory, 0, 31, 32, 33, 63, 64, 98, 99, 100, 101, 129);
  using harvest = memory.harvest();
  const pairs = harvest.rangeArray();
  assert.equal(inPages(pairs), [0, 1, 31, 3, 63, 2, 98, 4, 129, 1]);
  assert.equal(
    harvest.ranges().flatMap(({ guestAddr, size }) => [guestAddr, size]),
    [...pairs],
  );
  assert.equal([...harvest.rangeArray()], [...pairs], 'asked twice');
});

test('the buffer grows, and is the same one in the next harvest', () => {
  using memory = tracked(4000 * PAGE);
  memory.addRegion(4000 * PAGE, 4000 * PAGE);
  const every2nd = Array.from({ length: 4000 }, (_none, index) => 2 * index);
  write(memory, ...every2nd);
  const first = memory.harvest();
  const pairs = first.rangeArray();
  assert.equal(
    inPages(pairs),
    every2nd.flatMap(page => [page, 1]),
  );
  assert.is(first.pageCount, 4000);
  const { buffer } = pairs;
  first.commit();
  write(memory, 5);
  using second = memory.harvest();
  assert.equal(inPages(second.rangeArray()), [5, 1]);
  assert.is(second.rangeArray().buffer, buffer);
});

test('each cursor has a buffer of its own', () => {
  using memory = tracked(8 * PAGE);
  using cursor = memory.dirtyCursor('other');
  write(memory, 1);
  using one = memory.harvest();
  const mine = one.rangeArray();
  write(memory, 4);
  using other = cursor.harvest();
  assert.equal(inPages(other.rangeArray()), [1, 1, 4, 1]);
  assert.equal(inPages(mine), [1, 1]);
});

test('an empty harvest is empty in every way', () => {
  using memory = tracked(70 * PAGE);
  using harvest = memory.harvest();
  assert.is(harvest.pageCount, 0);
  assert.is(harvest.rangeArray().length, 0);
  assert.equal(harvest.ranges(), []);
  assert.equal(harvest.writers(), []);
  assert.equal([...harvest.bitmap({ guestAddr: 0, size: 70 * PAGE })], new Array(16).fill(0));
});

test('more than 4 GiB, mostly untouched: addresses beyond 32 bits', () => {
  using memory = new KvmMemory(6 * GIB);
  memory.enableDirtyTracking();
  const last = 7 * GIB - PAGE;
  for (const addr of [0, 3 * GIB - PAGE, 4 * GIB, 5 * GIB - PAGE, 5 * GIB, last]) memory.writeObj(addr, u8, 1);
  using harvest = memory.harvest();
  assert.equal(
    [...harvest.rangeArray()],
    [0, PAGE, 3 * GIB - PAGE, PAGE, 4 * GIB, PAGE, 5 * GIB - PAGE, 2 * PAGE, last, PAGE],
  );
  assert.is(harvest.pageCount, 6);
  assert.equal([...harvest.bitmap({ guestAddr: last - 7 * PAGE, size: 8 * PAGE })], [0x80, 0, 0, 0, 0, 0, 0, 0]);
});

test('a region that is split under an open harvest: it shows what it showed, and nothing is lost', () => {
  using memory = tracked(100 * PAGE);
  write(memory, 10, 50, 90);
  const harvest = memory.harvest();
  memory.setReadOnly(40 * PAGE, 20 * PAGE, true);
  assert.equal(inPages(harvest.rangeArray()), [10, 1, 50, 1, 90, 1]);
  harvest.abort();
  const pieces = memory.harvest();
  assert.equal(inPages(pieces.rangeArray()), [10, 1, 50, 1, 90, 1]);
  memory.setReadOnly(40 * PAGE, 20 * PAGE, false);
  pieces.commit();
  assert.equal(memory.getDirtyPages(), []);
});

test('removed mid-harvest and aborted: its pages have no address, until the same memory is added again', async () => {
  using memory = tracked(4 * PAGE);
  const hostAddr = memory.addRegion(100 * PAGE, 8 * PAGE);
  const kept = memory.view(100 * PAGE, PAGE);
  write(memory, 1, 103);
  const harvest = memory.harvest();
  memory.removeRegion(100 * PAGE);
  assert.equal(inPages(harvest.rangeArray()), [1, 1, 103, 1]);
  harvest.abort();
  assert.equal(memory.getDirtyPages(), [{ guestAddr: PAGE, size: PAGE }]);
  // Elsewhere: dirty pages are the memory's, and not the address's.
  memory.addExternalRegion(300 * PAGE, hostAddr, 8 * PAGE, false);
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 303 * PAGE, size: PAGE }]);
  assert.is(kept.length, PAGE);
  memory.removeRegion(300 * PAGE);
});

test('a commit forgets only what had an address', () => {
  using memory = tracked(PAGE);
  const hostAddr = memory.addRegion(100 * PAGE, 8 * PAGE);
  memory.addExternalRegion(200 * PAGE, hostAddr, 2 * PAGE, false);
  write(memory, 101, 107);
  memory.removeRegion(100 * PAGE);
  // Of the mapping, only pages 0 and 1 are mapped now.
  using harvest = memory.harvest();
  assert.equal(inPages(harvest.rangeArray()), [201, 1]);
  harvest.commit();
  memory.addExternalRegion(300 * PAGE, hostAddr, 8 * PAGE, false);
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 307 * PAGE, size: PAGE }]);
});

test('by huge pages: a dirty page makes its whole huge page dirty, within the mapping', () => {
  const size = 5 * MIB;
  using memory = new KvmMemory(size, { hugePages: 'thp' });
  memory.addRegion(64 * MIB, 2 * MIB);
  memory.enableDirtyTracking({ granularity: 'huge' });
  // Huge pages are where the host's addresses say.
  const lead = (2 * MIB - (Number(memory.hostAddress()) % (2 * MIB))) % (2 * MIB);
  const hugeOf = (addr: number) => {
    const start = Math.floor((addr - lead) / (2 * MIB)) * 2 * MIB + lead;
    const from = Math.max(start, 0);
    return { guestAddr: from, size: Math.min(start + 2 * MIB, size) - from };
  };
  for (const addr of [0, 3 * MIB, size - PAGE]) {
    memory.writeObj(addr, u8, 1);
    assert.equal(memory.getDirtyPages(), [hugeOf(addr)]);
  }
  memory.writeObj(65 * MIB, u8, 1);
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 65 * MIB, size: PAGE }], 'a region of small pages');
  memory.enableDirtyTracking({ granularity: 'page' });
  memory.writeObj(3 * MIB, u8, 1);
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 3 * MIB, size: PAGE }]);
});

test('an ended harvest shows nothing', async () => {
  using memory = tracked(PAGE);
  const harvest = memory.harvest();
  harvest.commit();
  assert.is(harvest.ended, true);
  for (const use of [() => harvest.rangeArray(), () => harvest.writers(), () => harvest.writerAt(0)])
    assert.is(await codeOf(use), 'ERR_HARVEST_ENDED');
});

test.run();
