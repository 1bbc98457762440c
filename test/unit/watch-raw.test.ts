// Watches and stores past the API: found with source 'pagemap', at page granularity and with an unknown writer, and told apart from what was
// reported already.

import { setTimeout as sleep } from 'node:timers/promises';
import { KvmMemory, probeDirtySources, u8, type WatchedWrite } from 'node-kvm';
import * as assert from 'uvu/assert';
import { suiteUnless } from '../harness.ts';
import { until } from '../run-guest.ts';

const { pagemap } = probeDirtySources();
const test = suiteUnless(pagemap.available ? undefined : `no pagemap: ${pagemap.reason}`, 'watch: raw stores');

const PAGE = 4096;
const EVERY_MS = 10;

function watched(memory: KvmMemory, range: { guestAddr: number; size: number }, every: number | false = EVERY_MS) {
  const writes: WatchedWrite[] = [];
  memory.watch(range, write => void writes.push(write), { every });
  return writes;
}

function tracked(): KvmMemory {
  const memory = new KvmMemory(64 * PAGE);
  memory.enableDirtyTracking({ source: 'pagemap' });
  return memory;
}

test('a raw store is reported with its pages, as far as they are watched', async () => {
  using memory = tracked();
  const writes = watched(memory, { guestAddr: PAGE + 8, size: 3 * PAGE });
  memory.view(0, 64 * PAGE).fill(7, 2 * PAGE + 5, 3 * PAGE + 5);
  await until(() => writes.length > 0, 'a report');

  assert.equal(writes, [{ guestAddr: 2 * PAGE, size: 2 * PAGE, writer: { kind: 'unknown' } }]);
});

test('what the API wrote is reported once, and not as unknown; nor is what it wrote elsewhere in the page', async () => {
  using memory = tracked();
  const writes = watched(memory, { guestAddr: PAGE, size: 8 });
  memory.writeObj(PAGE, u8, 1);
  memory.writeObj(PAGE + 100, u8, 1);
  await sleep(10 * EVERY_MS);
  memory.writeObj(PAGE + 200, u8, 1);
  await sleep(10 * EVERY_MS);

  assert.equal(
    writes.map(({ writer }) => writer.kind),
    ['thread'],
  );
});

test('a watch is not told of raw stores before it', async () => {
  using memory = tracked();
  const view = memory.view(PAGE, PAGE);
  const first = watched(memory, { guestAddr: PAGE, size: PAGE });
  view[0] = 1;
  const second = watched(memory, { guestAddr: PAGE, size: PAGE });
  await until(() => first.length === 1, 'a report to the first');
  await sleep(5 * EVERY_MS);
  const before = second.length;
  view[0] = 2;
  await until(() => second.length === 1 && first.length === 2, 'reports to both');

  assert.is(before, 0);
});

test('the default consumer sees the pages too, and a watch that does not ask is told nothing', async () => {
  using memory = tracked();
  const asking = watched(memory, { guestAddr: PAGE, size: PAGE });
  const silent = watched(memory, { guestAddr: PAGE, size: PAGE }, false);
  memory.view(PAGE, 1)[0] = 1;
  await until(() => asking.length === 1, 'a report');

  assert.equal(silent, []);
  assert.equal(memory.getDirtyPages(), [{ guestAddr: PAGE, size: PAGE }]);
});

test('with tracking off, and with another source, raw stores are not seen; when pagemap comes they are', async () => {
  using memory = new KvmMemory(64 * PAGE);
  const writes = watched(memory, { guestAddr: PAGE, size: PAGE });
  const view = memory.view(PAGE, PAGE);
  view[0] = 1;
  memory.enableDirtyTracking({ source: 'host' });
  view[0] = 2;
  await sleep(5 * EVERY_MS);
  const before = writes.length;
  memory.enableDirtyTracking({ source: 'pagemap' });
  view[0] = 3;
  await until(() => writes.length === 1, 'a report');

  assert.is(before, 0);
});

for (const [what, change] of [
  ['another source', (memory: KvmMemory) => memory.enableDirtyTracking({ source: 'host' })],
  ['nothing', (memory: KvmMemory) => memory.disableDirtyTracking()],
] as const) {
  test(`a raw store just before pagemap is replaced by ${what} is reported`, async () => {
    using memory = tracked();
    const writes = watched(memory, { guestAddr: PAGE, size: PAGE });
    memory.view(PAGE, 1)[0] = 1;
    change(memory);
    await until(() => writes.length === 1, 'a report');

    assert.is(writes[0]?.writer.kind, 'unknown');
  });
}

test('watches that come and go faster than the rhythm do not put off its looks', async () => {
  using memory = tracked();
  const writes = watched(memory, { guestAddr: PAGE, size: PAGE }, 20 * EVERY_MS);
  memory.view(PAGE, 1)[0] = 1;
  const others = setInterval(
    () => memory.watch({ guestAddr: 0, size: 1 }, () => {}, { every: 20 * EVERY_MS }).close(),
    EVERY_MS,
  );
  try {
    await until(() => writes.length === 1, 'a report');
  } finally {
    clearInterval(others);
  }
});

test.run();
