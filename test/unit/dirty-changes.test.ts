// memory.changes(): the stream commits when it is asked for more, aborts when its reader leaves, and ends with the memory.

import { type DirtyHarvest, KvmMemory, u8 } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('dirty: changes');

const PAGE = 4096;

function tracked(): KvmMemory {
  const memory = new KvmMemory(100 * PAGE);
  memory.enableDirtyTracking();
  return memory;
}

const write = (memory: KvmMemory, ...pages: number[]) => {
  for (const page of pages) memory.writeObj(page * PAGE, u8, 1);
};
const pagesOf = (harvest: DirtyHarvest | undefined) =>
  harvest?.ranges().map(({ guestAddr, size }) => [guestAddr / PAGE, size / PAGE]);

/** The next value, or 'end'. What is written while it waits is seen: the cursor begins with the first step. */
async function step(stream: AsyncGenerator<DirtyHarvest, void, void>): Promise<DirtyHarvest | 'end'> {
  const { value } = await stream.next();
  return value ?? 'end';
}

test('yields what was written, and commits when asked for more', async () => {
  using memory = tracked();
  const seen: unknown[] = [];
  const stream = memory.changes({ every: 1 });
  const first = stream.next();
  write(memory, 3, 4);
  for (let value = (await first).value; value !== undefined; value = (await stream.next()).value) {
    seen.push(pagesOf(value));
    if (seen.length === 3) break;
    write(memory, 10 + seen.length);
  }
  await stream.return();
  assert.equal(seen, [[[3, 2]], [[11, 1]], [[12, 1]]]);
});

test('a reader that leaves aborts its harvest only, and its cursor is gone', async () => {
  using memory = tracked();
  let left: DirtyHarvest | undefined;
  const timer = setTimeout(() => write(memory, 7), 5);
  for await (const harvest of memory.changes({ every: 1 })) {
    left = harvest;
    break;
  }
  clearTimeout(timer);
  assert.is(left?.ended, true);
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 7 * PAGE, size: PAGE }]);
});

test('a throw in the body reaches the caller, and the harvest was aborted', async () => {
  using memory = tracked();
  let left: DirtyHarvest | undefined;
  setTimeout(() => write(memory, 8), 5);
  let message = '';
  try {
    for await (const harvest of memory.changes({ every: 1 })) {
      left = harvest;
      throw new Error('the replica is gone');
    }
  } catch (error) {
    message = (error as Error).message;
  }
  assert.is(message, 'the replica is gone');
  assert.is(left?.ended, true);
});

test('a harvest that the reader committed or aborted itself is left alone; aborted pages come again', async () => {
  using memory = tracked();
  const stream = memory.changes({ every: 0 });
  const first = stream.next();
  write(memory, 20);
  const one = (await first).value as DirtyHarvest;
  one.abort();
  const two = (await step(stream)) as DirtyHarvest;
  assert.equal(pagesOf(two), [[20, 1]]);
  two.commit();
  const third = stream.next();
  write(memory, 21);
  assert.equal(pagesOf((await third).value ?? undefined), [[21, 1]]);
  await stream.return();
});

test('streams and cursors do not take pages from each other', async () => {
  using memory = tracked();
  const streams = [memory.changes({ every: 0 }), memory.changes({ every: 2 })];
  const firsts = streams.map(stream => stream.next());
  write(memory, 30);
  for (const first of firsts) assert.equal(pagesOf((await first).value ?? undefined), [[30, 1]]);
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 30 * PAGE, size: PAGE }]);
  for (const stream of streams) await stream.return();
});

test('a signal ends it with ERR_ABORTED, at once, and the reason is the cause', async () => {
  using memory = tracked();
  const controller = new AbortController();
  const waiting = memory.changes({ every: 2 ** 31 - 1, signal: controller.signal }).next();
  controller.abort(new Error('enough'));
  const error = (await waiting.catch(thrown => thrown)) as Error & { code?: string };
  assert.is(error.code, 'ERR_ABORTED');
  assert.is((error.cause as Error).message, 'enough');
  const late = memory.changes({ every: 1, signal: controller.signal });
  assert.is(await codeOf(() => late.next()), 'ERR_ABORTED');
});

test('it ends when the memory is disposed, waiting or between two steps', async () => {
  const memory = tracked();
  const waiting = memory.changes({ every: 2 ** 31 - 1 }).next();
  const stream = memory.changes({ every: 0 });
  const first = stream.next();
  write(memory, 40);
  const harvest = (await first).value as DirtyHarvest;
  memory[Symbol.dispose]();
  assert.is((await waiting).done, true);
  assert.equal(pagesOf(harvest), [[40, 1]]);
  assert.is(await step(stream), 'end');
});

test('it throws what a harvest throws, and has ended then', async () => {
  using memory = tracked();
  const stream = memory.changes({ every: 0 });
  const first = stream.next();
  write(memory, 50);
  await first;
  memory.disableDirtyTracking();
  assert.is(await codeOf(() => stream.next()), 'ERR_DIRTY_TRACKING_OFF');
  assert.is(await step(stream), 'end');
});

test('options are checked at the call', async () => {
  using memory = tracked();
  const ask = (options: unknown) => codeOf(() => memory.changes(options as { every: number }));
  assert.is(await ask(undefined), 'ERR_INVALID_ARG_TYPE');
  assert.is(await ask({}), 'ERR_INVALID_ARG_TYPE');
  assert.is(await ask({ every: '1' }), 'ERR_INVALID_ARG_TYPE');
  for (const every of [-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31])
    assert.is(await ask({ every }), 'ERR_OUT_OF_RANGE', `${every}`);
  assert.is(await ask({ every: 1, signal: {} }), 'ERR_INVALID_ARG_TYPE');
  assert.is(await ask({ every: 1, sginal: undefined }), 'ERR_UNKNOWN_OPTION');
});

test.run();
