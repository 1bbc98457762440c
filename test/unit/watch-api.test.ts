// memory.watch and writes through the API: what is reported, clipped to the range, with its bytes; what is not; how it ends.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { KvmMemory, struct, u8, u16le, u32le, u64le, type WatchedWrite } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';
import { until } from '../run-guest.ts';

const test = suite('watch: API writes');

const PAGE = 4096;
const MEMORY = 64 * PAGE;

type Seen = [guestAddr: number, size: number, data: number[] | undefined];
const seenOf = ({ guestAddr, size, data }: WatchedWrite): Seen => [
  guestAddr,
  size,
  data === undefined ? undefined : [...data],
];

/** A watch that notes what it is told, and waits until it was told of `count` writes. */
function watched(memory: KvmMemory, guestAddr: number, size: number) {
  const writes: WatchedWrite[] = [];
  const watch = memory.watch({ guestAddr, size }, write => void writes.push(write));
  const told = async (count: number): Promise<Seen[]> => {
    await until(() => writes.length >= count, `${count} reports`);
    return writes.map(seenOf);
  };
  return { watch, writes, told };
}

test('every accessor reports what it stored, in order, and nothing is told within the write', async () => {
  using memory = new KvmMemory(MEMORY);
  const { writes, told } = watched(memory, 0x1000, 0x100);

  memory.write(0x1000, Uint8Array.of(1, 2, 3));
  memory.writeObj(0x1010, u16le, 0x0201);
  memory.writeObj(0x1011, u32le, 0x04030201);
  memory.writeObj(0x1020, struct({ a: u8, b: u8 }), { a: 7, b: 8 });
  memory.memset(0x1030, 9, 2);
  memory.atomics.add(0x1040, u32le, 5);
  memory.atomics.compareExchange(0x1048, u64le, 0n, 6n);
  memory.atomics.compareExchange(0x1048, u64le, 0n, 7n);
  const within = writes.length;

  assert.is(within, 0);
  assert.equal(await told(7), [
    [0x1000, 3, [1, 2, 3]],
    [0x1010, 2, [1, 2]],
    [0x1011, 4, [1, 2, 3, 4]],
    [0x1020, 2, [7, 8]],
    [0x1030, 2, [9, 9]],
    [0x1040, 4, [5, 0, 0, 0]],
    [0x1048, 8, [6, 0, 0, 0, 0, 0, 0, 0]],
  ]);
});

test('a write is clipped to the range; one elsewhere in the page, and a read, are not reported', async () => {
  using memory = new KvmMemory(MEMORY);
  const { told } = watched(memory, 0x1ffe, 4);

  memory.write(0x1ff0, new Uint8Array(14).fill(1));
  memory.write(0x2002, Uint8Array.of(1));
  memory.read(0x1ff0, new Uint8Array(64));
  memory.write(0x1ff0, new Uint8Array(32).fill(2));

  assert.equal(await told(1), [[0x1ffe, 4, [2, 2, 2, 2]]]);
});

test('more than 64 bytes come without data', async () => {
  using memory = new KvmMemory(MEMORY);
  const { told } = watched(memory, 0x1000, 3 * PAGE);

  memory.write(0x1000, new Uint8Array(64).fill(1));
  memory.memset(0x2000, 2, 2 * PAGE);

  assert.equal(await told(2), [
    [0x1000, 64, new Array(64).fill(1)],
    [0x2000, 2 * PAGE, undefined],
  ]);
});

test('watches may overlap: each is told of its own part', async () => {
  using memory = new KvmMemory(MEMORY);
  const outer = watched(memory, 0x1000, 0x2000);
  const inner = watched(memory, 0x1ffc, 8);

  memory.write(0x1ffe, Uint8Array.of(1, 2, 3, 4));
  const first = [await outer.told(1), await inner.told(1)];
  inner.watch.close();
  memory.write(0x1ffe, Uint8Array.of(5));

  assert.equal(first, [[[0x1ffe, 4, [1, 2, 3, 4]]], [[0x1ffe, 4, [1, 2, 3, 4]]]]);
  assert.equal((await outer.told(2)).at(-1), [0x1ffe, 1, [5]]);
  assert.is(inner.writes.length, 1);
});

test('a watch begins with the writes after it, and ends with close', async () => {
  using memory = new KvmMemory(MEMORY);
  const first = watched(memory, 0x1000, 8);
  memory.write(0x1000, Uint8Array.of(1));
  const second = watched(memory, 0x1000, 8);
  memory.write(0x1000, Uint8Array.of(2));
  const told = [await first.told(2), await second.told(1)];
  memory.write(0x1000, Uint8Array.of(3));
  first.watch.close();
  first.watch.close();
  second.watch[Symbol.dispose]();
  memory.write(0x1000, Uint8Array.of(4));
  await sleep(5);

  assert.equal(told, [
    [
      [0x1000, 1, [1]],
      [0x1000, 1, [2]],
    ],
    [[0x1000, 1, [2]]],
  ]);
  assert.is(first.writes.length, 2);
});

test('regions are cut at the watched pages, and are whole again after the last close', () => {
  using memory = new KvmMemory(MEMORY);
  const places = () => memory.regions().map(({ guestAddr, size }) => [guestAddr, size]);
  const a = memory.watch({ guestAddr: 0x2010, size: 1 }, () => {});
  const b = memory.watch({ guestAddr: 0x2020, size: PAGE }, () => {});
  const both = places();
  b.close();
  const one = places();
  a.close();

  assert.equal(both, [
    [0, 0x2000],
    [0x2000, 0x2000],
    [0x4000, MEMORY - 0x4000],
  ]);
  assert.equal(one, [
    [0, 0x2000],
    [0x2000, 0x1000],
    [0x3000, MEMORY - 0x3000],
  ]);
  assert.equal(places(), [[0, MEMORY]]);
});

test('what a callback throws or rejects with becomes a warning; it and the others are called on', async () => {
  using memory = new KvmMemory(MEMORY);
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => void warnings.push(warning);
  process.on('warning', onWarning);
  let calls = 0;
  memory.watch({ guestAddr: 0, size: 1 }, () => {
    calls += 1;
    throw new Error(`call ${calls}`);
  });
  memory.watch({ guestAddr: 0, size: 1 }, async () => {
    throw new Error('later');
  });
  const other = watched(memory, 0, 1);

  memory.write(0, Uint8Array.of(1));
  memory.write(0, Uint8Array.of(2));
  await other.told(2);
  await until(() => warnings.length === 4, 'four warnings');
  process.off('warning', onWarning);

  assert.is(calls, 2);
  assert.equal(warnings.map(({ message }) => message.replace(/.*: /, '')).sort(), [
    'call 1',
    'call 2',
    'later',
    'later',
  ]);
  assert.equal(
    warnings.map(warning => (warning as { code?: string }).code),
    new Array(4).fill('ERR_WATCH_CALLBACK'),
  );
});

test('a callback may write to the range, open a watch and close its own', async () => {
  using memory = new KvmMemory(MEMORY);
  const values: number[] = [];
  const watch = memory.watch({ guestAddr: 0, size: 1 }, ({ data }) => {
    const value = data?.[0] ?? 0;
    values.push(value);
    if (value < 3) memory.writeObj(0, u8, value + 1);
    else watch.close();
  });

  memory.writeObj(0, u8, 1);
  await until(() => values.length === 3, 'three calls');
  memory.writeObj(0, u8, 9);
  await sleep(5);

  assert.equal(values, [1, 2, 3]);
});

test('reports that nobody fetches are counted as lost, and none twice', async () => {
  using memory = new KvmMemory(MEMORY);
  const { watch, told } = watched(memory, 0, 4);

  for (let value = 0; value < 5000; value++) memory.writeObj(0, u32le, value);
  const lost = watch.lost;
  const seen = await told(5000 - lost);
  memory.writeObj(0, u32le, 5000);

  assert.is(lost, 5000 - 4096);
  assert.equal(
    seen.map(([, , data]) => new DataView(Uint8Array.from(data ?? []).buffer).getUint32(0, true)),
    Array.from({ length: 4096 }, (_, value) => value),
  );
  assert.equal((await told(4097)).at(-1), [0, 4, [0x88, 0x13, 0, 0]]);
});

test('writes of another thread are reported with its thread id', async () => {
  using memory = new KvmMemory(MEMORY);
  const { writes, told } = watched(memory, 0x3000, 64);
  const worker = new Worker(
    `const { workerData, parentPort, threadId } = require('node:worker_threads');
     const { KvmMemory, u32le } = require('node-kvm');
     const memory = KvmMemory.attach(workerData);
     for (let i = 0; i < 100; i++) memory.writeObj(0x3000, u32le, i);
     memory.write(0x2000, new Uint8Array(16));
     parentPort.postMessage(threadId);`,
    { eval: true, workerData: memory.handle },
  );
  const ended = once(worker, 'exit');
  const [threadId] = (await once(worker, 'message')) as [number];
  memory.writeObj(0x3008, u8, 1);
  const seen = await told(101);
  await ended;

  assert.equal(
    seen.slice(0, 100).map(([addr, size, data]) => [addr, size, data?.[0]]),
    Array.from({ length: 100 }, (_, i) => [0x3000, 4, i]),
  );
  assert.equal(writes[0]?.writer, { kind: 'thread', threadId });
  assert.equal(writes[100]?.writer, { kind: 'thread', threadId: 0 });
});

test('a region that is removed has no writes; one that is added in its place has', async () => {
  using memory = new KvmMemory(PAGE);
  memory.addRegion(0x10000, 2 * PAGE);
  const { told } = watched(memory, 0x11000, 16);

  memory.removeRegion(0x11000);
  memory.addRegion(0x11000, PAGE);
  memory.write(0x11004, Uint8Array.of(1));

  assert.equal(await told(1), [[0x11004, 1, [1]]]);
});

test('a region that a watch has split is removed as a whole; what setReadOnly split, and neighbours, stay', () => {
  using memory = new KvmMemory(PAGE);
  memory.addRegion(0x10000, 5 * PAGE);
  memory.addRegion(0x15000, PAGE);
  memory.setReadOnly(0x14000, PAGE, true);
  using _watch = memory.watch({ guestAddr: 0x11000, size: PAGE + 1 }, () => {});
  assert.is(memory.regions().length, 6);

  memory.removeRegion(0x10000);

  assert.equal(
    memory.regions().map(({ guestAddr, size }) => [guestAddr, size]),
    [
      [0, PAGE],
      [0x14000, PAGE],
      [0x15000, PAGE],
    ],
  );
});

test('setReadOnly and watches do not disturb each other', async () => {
  using memory = new KvmMemory(MEMORY);
  const { watch, told } = watched(memory, 0x2000, 16);

  memory.setReadOnly(0x1000, 2 * PAGE, true);
  const refused = await codeOf(() => memory.write(0x2000, Uint8Array.of(1)));
  memory.setReadOnly(0x2000, PAGE, false);
  memory.write(0x2000, Uint8Array.of(2));
  const seen = await told(1);
  watch.close();

  assert.is(refused, 'ERR_MEMORY_READ_ONLY');
  assert.equal(seen, [[0x2000, 1, [2]]]);
  assert.equal(
    memory.regions().map(({ guestAddr, readOnly }) => [guestAddr, readOnly]),
    [
      [0, false],
      [0x1000, true],
      [0x2000, false],
    ],
  );
});

test('two regions of one mapping stay two after a watch over both', () => {
  using memory = new KvmMemory(2 * PAGE);
  const host = memory.hostAddress();
  memory.addExternalRegion(0x10000, host, PAGE, false);
  memory.addExternalRegion(0x11000, host + 0x1000n, PAGE, false);
  memory.watch({ guestAddr: 0x10ff0, size: 32 }, () => {}).close();

  assert.equal(
    memory.regions().map(({ guestAddr }) => guestAddr),
    [0, 0x10000, 0x11000],
  );
});

test('wrong arguments are refused by code, and leave nothing watched', async () => {
  using memory = new KvmMemory(MEMORY);
  const watch = memory.watch.bind(memory) as (...args: unknown[]) => unknown;
  const nothing = () => {};

  assert.is(await codeOf(() => watch(null, nothing)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => watch({ guestAddr: 0, size: 1 })), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => watch({ guestAddr: 0, size: 0 }, nothing)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => watch({ guestAddr: -1, size: 1 }, nothing)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => watch({ guestAddr: 0, size: MEMORY + 1 }, nothing)), 'ERR_MEMORY_UNMAPPED');
  assert.is(await codeOf(() => watch({ guestAddr: 0, size: 1 }, nothing, { every: 0 })), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => watch({ guestAddr: 0, size: 1 }, nothing, { often: 1 })), 'ERR_UNKNOWN_OPTION');
  assert.is(memory.regions().length, 1);
});

test('after dispose: nothing is told, close is harmless, watch throws', async () => {
  const memory = new KvmMemory(MEMORY);
  const { watch, writes } = watched(memory, 0, 1);
  memory.writeObj(0, u8, 1);
  memory[Symbol.dispose]();
  await sleep(5);

  watch.close();

  assert.is(writes.length, 0);
  assert.is(await codeOf(() => memory.watch({ guestAddr: 0, size: 1 }, () => {})), 'ERR_DISPOSED');
});

test.run();
