// How large memory may be, and where it lies: the hole below 4 GiB, 64 GiB that nobody committed, sums over regions.

import { KvmMemory, u8, u64le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('memory: size');

const GIB = 2 ** 30;

test('RAM above 3 GiB goes on at 4 GiB', async () => {
  using memory = new KvmMemory(4 * GIB);
  assert.is(memory.size(), 4 * GIB);
  assert.is(memory.addressLimit(), 5 * GIB);
  assert.equal(
    memory.regions().map(({ guestAddr, size }) => [guestAddr, size]),
    [
      [0, 3 * GIB],
      [4 * GIB, GIB],
    ],
  );
  memory.writeObj(3 * GIB - 1, u8, 1);
  memory.writeObj(4 * GIB, u8, 2);
  assert.is(await codeOf(() => memory.writeObj(3 * GIB - 4, u64le, 1)), 'ERR_MEMORY_UNMAPPED');
  assert.is(await codeOf(() => memory.readObj(4 * GIB - 1, u8)), 'ERR_MEMORY_UNMAPPED');
  assert.is(await codeOf(() => memory.readObj(5 * GIB, u8)), 'ERR_MEMORY_UNMAPPED');
});

test('exactly 3 GiB is one region', () => {
  using memory = new KvmMemory(3n * BigInt(GIB));
  assert.is(memory.addressLimit(), 3 * GIB);
  assert.is(memory.regions().length, 1);
});

test('64 GiB: every end of it can be used, and nothing else is committed', () => {
  const before = process.memoryUsage.rss();
  using memory = new KvmMemory(64 * GIB);
  const top = memory.addressLimit();
  assert.is(memory.size(), 64 * GIB);
  memory.writeObj(top - 8, u64le, 0x1234n);
  memory.memset(40 * GIB - 10, 7, 20);
  const bytes = new Uint8Array(20);
  memory.read(40 * GIB - 10, bytes);

  assert.is(memory.readObj(top - 8, u64le), 0x1234n);
  assert.ok(bytes.every(byte => byte === 7));
  assert.is(memory.getHostAddress(top - 1), (memory.regions()[1]?.hostAddr ?? 0n) + BigInt(61 * GIB - 1));
  assert.equal([...memory.view(top - 8, 2)], [0x34, 0x12]);
  assert.ok(process.memoryUsage.rss() - before < 200 * 2 ** 20);
});

test('size() and addressLimit() follow the regions', () => {
  using memory = new KvmMemory(0x10000);
  memory.addRegion(0x1000_0000, 0x3000);
  assert.is(memory.size(), 0x13000);
  assert.is(memory.addressLimit(), 0x1000_3000);
  memory.removeRegion(0x1000_0000);
  assert.is(memory.size(), 0x10000);
  assert.is(memory.addressLimit(), 0x10000);
});

test('a view longer than typed arrays of this Node is a coded error', async () => {
  using memory = new KvmMemory(16 * GIB);
  const outcome = await codeOf(() => memory.view(4 * GIB, 6 * GIB));
  assert.is(outcome, Number(process.versions.node.split('.')[0]) < 22 ? 'ERR_MEMORY_RANGE' : 'no error');
});

test.run();
