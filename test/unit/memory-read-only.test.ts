// Read-only memory: refused to every writing accessor, and setReadOnly, which splits regions and joins them again.

import { KvmMemory, u8, u32le, u64le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('memory: read-only');

const PAGE = 4096;
const shape = (memory: KvmMemory) =>
  memory.regions().map(({ guestAddr, size, readOnly }) => [guestAddr / PAGE, size / PAGE, readOnly]);

test('every writing accessor is refused, every reading one is not', async () => {
  using memory = new KvmMemory(PAGE);
  const AT = 0x10_0000;
  memory.addRegion(AT, 2 * PAGE, { readOnly: true, contents: Uint8Array.of(1, 2, 3, 4) });
  const writes = [
    () => memory.write(AT, new Uint8Array(1)),
    () => memory.memset(AT, 0, 1),
    () => memory.writeObj(AT, u8, 0),
    () => memory.writeObj(AT + 1, u64le, 0),
    () => memory.atomics.store(AT, u32le, 0),
    () => memory.atomics.add(AT, u32le, 0),
    () => memory.atomics.compareExchange(AT, u32le, 9, 9),
  ];
  for (const write of writes) assert.is(await codeOf(write), 'ERR_MEMORY_READ_ONLY');

  assert.is(memory.readObj(AT, u32le), 0x0403_0201);
  assert.is(memory.atomics.load(AT, u32le), 0x0403_0201);
  assert.equal([...memory.view(AT, 5)], [1, 2, 3, 4, 0]);
  assert.is(memory.atomics.wait(AT, u32le, 5, 0), 'not-equal');
  memory.view(AT, 5)[4] = 9; // a raw view cannot fault
  assert.is(memory.readObj(AT + 4, u8), 9);
});

test('setReadOnly splits at page boundaries and joins again', async () => {
  using memory = new KvmMemory(8 * PAGE);
  memory.writeObj(3 * PAGE, u32le, 77);
  memory.setReadOnly(2 * PAGE, 3 * PAGE, true);
  assert.equal(shape(memory), [
    [0, 2, false],
    [2, 3, true],
    [5, 3, false],
  ]);
  assert.is(await codeOf(() => memory.writeObj(3 * PAGE, u32le, 1)), 'ERR_MEMORY_READ_ONLY');
  assert.is(memory.readObj(3 * PAGE, u32le), 77);
  memory.setReadOnly(3 * PAGE, PAGE, false);
  assert.equal(shape(memory), [
    [0, 2, false],
    [2, 1, true],
    [3, 1, false],
    [4, 1, true],
    [5, 3, false],
  ]);
  memory.writeObj(3 * PAGE, u32le, 78);
  memory.setReadOnly(0, 8 * PAGE, false);
  assert.equal(shape(memory), [[0, 8, false]]);
  assert.is(memory.readObj(3 * PAGE, u32le), 78);
  memory.setReadOnly(0, 8 * PAGE, true);
  assert.equal(shape(memory), [[0, 8, true]]);
});

test('mappings are not joined, and what the caller made two stays two', () => {
  using memory = new KvmMemory(2 * PAGE);
  memory.addRegion(2 * PAGE, 2 * PAGE);
  memory.setReadOnly(PAGE, 2 * PAGE, true);
  assert.equal(shape(memory), [
    [0, 1, false],
    [1, 1, true],
    [2, 1, true],
    [3, 1, false],
  ]);
  memory.setReadOnly(0, 4 * PAGE, false);
  assert.equal(shape(memory), [
    [0, 2, false],
    [2, 2, false],
  ]);
});

test('a range with a gap changes nothing', async () => {
  using memory = new KvmMemory(2 * PAGE);
  memory.addRegion(3 * PAGE, PAGE);
  assert.is(await codeOf(() => memory.setReadOnly(0, 4 * PAGE, true)), 'ERR_MEMORY_UNMAPPED');
  assert.equal(shape(memory), [
    [0, 2, false],
    [3, 1, false],
  ]);
});

test('pieces share one buffer, and a view goes across them', () => {
  using memory = new KvmMemory(4 * PAGE);
  memory.setReadOnly(PAGE, PAGE, true);
  const [a, b] = memory.regions();
  assert.is(a?.buffer, b?.buffer);
  assert.is(b?.offset, PAGE);
  assert.is(b?.hostAddr, memory.hostAddress() + BigInt(PAGE));
  assert.is(memory.view(0, 4 * PAGE).length, 4 * PAGE);
});

test('dirty state moves along', () => {
  using memory = new KvmMemory(8 * PAGE);
  memory.enableDirtyTracking();
  memory.writeObj(5 * PAGE, u8, 1);
  memory.setReadOnly(4 * PAGE, 2 * PAGE, true);
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 5 * PAGE, size: PAGE }]);
  memory.writeObj(3 * PAGE, u8, 1);
  memory.setReadOnly(0, 8 * PAGE, false);
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 3 * PAGE, size: PAGE }]);
});

test.run();
