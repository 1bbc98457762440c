// Cursors: any number of consumers, each with its own position and its own transactions.

import { KvmMemory, u8 } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('dirty: cursors');

const PAGE = 4096;
const write = (memory: KvmMemory, ...pages: number[]) => {
  for (const page of pages) memory.writeObj(page * PAGE, u8, 1);
};

/** 100 pages; tracking is on. */
function tracked(): KvmMemory {
  const memory = new KvmMemory(100 * PAGE);
  memory.enableDirtyTracking();
  return memory;
}

interface Consumer {
  harvest(): ReturnType<KvmMemory['harvest']>;
}

function pagesOf(harvest: ReturnType<KvmMemory['harvest']>): number[] {
  return harvest
    .ranges()
    .flatMap(({ guestAddr, size }) => Array.from({ length: size / PAGE }, (_none, index) => guestAddr / PAGE + index));
}

/** What the consumer sees, committed. */
function next(consumer: Consumer): number[] {
  using harvest = consumer.harvest();
  const pages = pagesOf(harvest);
  harvest.commit();
  return pages;
}

test('each sees every page since its own last commit, whatever the rhythms', () => {
  using memory = tracked();
  using fast = memory.dirtyCursor('fast');
  using slow = memory.dirtyCursor('slow');
  write(memory, 1);
  assert.equal(next(fast), [1]);
  write(memory, 2);
  assert.equal(next(fast), [2]);
  assert.equal(next(slow), [1, 2]);
  write(memory, 1, 3);
  assert.equal(next(slow), [1, 3]);
  assert.equal(next(fast), [1, 3]);
  assert.equal(next(memory), [1, 2, 3]);
  for (const consumer of [fast, slow, memory]) assert.equal(next(consumer), []);
});

test("an abort is the aborting cursor's alone", () => {
  using memory = tracked();
  using one = memory.dirtyCursor('one');
  using other = memory.dirtyCursor('other');
  write(memory, 7);
  const mine = one.harvest();
  const theirs = other.harvest();
  write(memory, 8);
  // Collects it for all, while the two are open.
  assert.equal(next(memory), [7, 8]);
  mine.abort();
  theirs.commit();
  assert.equal(next(one), [7, 8]);
  assert.equal(next(other), [8]);
});

test("pages that another's harvest collected while mine was open are my next one's", () => {
  using memory = tracked();
  using one = memory.dirtyCursor('one');
  write(memory, 5);
  const open = one.harvest();
  write(memory, 5, 6);
  assert.equal(next(memory), [5, 6]);
  assert.equal(pagesOf(open), [5]);
  open.commit();
  assert.equal(next(one), [5, 6]);
});

test('it begins clean, although others have not harvested what was written before', () => {
  using memory = tracked();
  write(memory, 11);
  using late = memory.dirtyCursor('late');
  assert.equal(next(late), []);
  assert.equal(next(memory), [11]);
});

test('or with everything, the regions of its first harvest; an abort keeps that', () => {
  using memory = tracked();
  using cursor = memory.dirtyCursor('replica', { initially: 'dirty' });
  memory.addRegion(200 * PAGE, 2 * PAGE);
  using first = cursor.harvest();
  assert.equal(first.ranges(), [
    { guestAddr: 0, size: 100 * PAGE },
    { guestAddr: 200 * PAGE, size: 2 * PAGE },
  ]);
  first.abort();
  assert.is(next(cursor).length, 102);
  assert.equal(next(cursor), []);
  assert.equal(next(memory), []);
});

test('enableDirtyTracking with initially dirty is for every consumer', () => {
  using memory = new KvmMemory(4 * PAGE);
  using cursor = memory.dirtyCursor('early');
  memory.enableDirtyTracking({ initially: 'dirty' });
  assert.equal(next(cursor), [0, 1, 2, 3]);
  assert.equal(next(memory), [0, 1, 2, 3]);
  memory.enableDirtyTracking({ initially: 'dirty' });
  assert.equal(next(memory), [0, 1, 2, 3]);
});

test('disposed with an open harvest: the harvest has ended, and nobody else notices', async () => {
  using memory = tracked();
  const cursor = memory.dirtyCursor('gone');
  write(memory, 9);
  const open = cursor.harvest();
  cursor[Symbol.dispose]();
  cursor[Symbol.dispose]();
  assert.is(await codeOf(() => open.pageCount), 'ERR_HARVEST_ENDED');
  assert.is(await codeOf(() => cursor.harvest()), 'ERR_DISPOSED');
  assert.equal(next(memory), [9]);
});

test('a name is one open cursor; a cursor that reuses it begins anew', async () => {
  using memory = tracked();
  const first = memory.dirtyCursor('snapshot');
  assert.is(await codeOf(() => memory.dirtyCursor('snapshot')), 'ERR_CURSOR_EXISTS');
  write(memory, 20);
  first[Symbol.dispose]();
  using second = memory.dirtyCursor('snapshot');
  assert.is(second.name, 'snapshot');
  assert.equal(next(second), []);
  write(memory, 21);
  assert.equal(next(second), [21]);
  // The first one's second dispose does not end the second.
  first[Symbol.dispose]();
  assert.equal(next(second), []);
});

test('one harvest of a cursor is open at a time; several cursors each have one', async () => {
  using memory = tracked();
  using one = memory.dirtyCursor('one');
  using other = memory.dirtyCursor('other');
  using mine = one.harvest();
  using theirs = other.harvest();
  using ours = memory.harvest();
  assert.is(await codeOf(() => one.harvest()), 'ERR_HARVEST_OPEN');
  for (const harvest of [mine, theirs, ours]) harvest.commit();
  assert.equal(next(one), []);
});

test('cursors stay when tracking goes off and on', async () => {
  using memory = tracked();
  using cursor = memory.dirtyCursor('patient');
  write(memory, 30);
  memory.disableDirtyTracking();
  assert.is(memory.dirtySource, undefined);
  write(memory, 31);
  assert.is(await codeOf(() => cursor.harvest()), 'ERR_DIRTY_TRACKING_OFF');
  memory.enableDirtyTracking();
  write(memory, 32);
  assert.equal(next(cursor), [30, 32]);
});

test('a harvest that is open when tracking goes off can still be aborted', () => {
  using memory = tracked();
  using cursor = memory.dirtyCursor('open');
  write(memory, 40);
  const open = cursor.harvest();
  memory.disableDirtyTracking();
  open.abort();
  memory.enableDirtyTracking();
  assert.equal(next(cursor), [40]);
});

test('a thousand cursors, made and disposed, leave nothing behind', async () => {
  using memory = tracked();
  for (let round = 0; round < 1000; round++) {
    using cursor = memory.dirtyCursor('temporary', { initially: round % 2 === 0 ? 'dirty' : 'clean' });
    write(memory, round % 100);
    assert.is(next(cursor).length, round % 2 === 0 ? 100 : 1);
  }
  assert.is(next(memory).length, 100);
  // More than may be open at once have come and gone by now, four times over.
  const open = Array.from({ length: 4000 }, (_none, index) => memory.dirtyCursor(`open ${index}`));
  assert.is(await codeOf(() => memory.dirtyCursor('too many')), 'ERR_STATE');
  write(memory, 50);
  assert.equal(next(memory), [50]);
  assert.equal(next(open[3999] as Consumer), [50]);
  for (const cursor of open) cursor[Symbol.dispose]();
  memory.dirtyCursor('one more')[Symbol.dispose]();
});

test('after the memory nothing works, and an open harvest can still be ended', async () => {
  const memory = tracked();
  const cursor = memory.dirtyCursor('orphan');
  write(memory, 3);
  const open = cursor.harvest();
  memory[Symbol.dispose]();
  assert.equal(pagesOf(open), [3]);
  open.commit();
  assert.is(await codeOf(() => cursor.harvest()), 'ERR_DISPOSED');
  assert.is(await codeOf(() => memory.dirtyCursor('new')), 'ERR_DISPOSED');
  cursor[Symbol.dispose]();
});

test('arguments are checked', async () => {
  using memory = tracked();
  const ask = (name: unknown, options?: unknown) =>
    codeOf(() => memory.dirtyCursor(name as string, options as { initially?: 'dirty' }));
  assert.is(await ask(undefined), 'ERR_INVALID_ARG_TYPE');
  assert.is(await ask(5), 'ERR_INVALID_ARG_TYPE');
  assert.is(await ask('x', null), 'ERR_INVALID_ARG_TYPE');
  assert.is(await ask('x', { initially: 'dusty' }), 'ERR_OUT_OF_RANGE');
  assert.is(await ask('x', { initial: 'dirty' }), 'ERR_UNKNOWN_OPTION');
  const enable = (options: unknown) => codeOf(() => memory.enableDirtyTracking(options as { attribution?: boolean }));
  assert.is(await enable({ attribution: 1 }), 'ERR_INVALID_ARG_TYPE');
  assert.is(await enable({ granularity: '2M' }), 'ERR_OUT_OF_RANGE');
  assert.is(await enable({ initially: '' }), 'ERR_OUT_OF_RANGE');
  assert.is(await enable({ source: 'magic' }), 'ERR_DIRTY_SOURCE');
  assert.is(await enable({ granule: 'page' }), 'ERR_UNKNOWN_OPTION');
});

test.run();
