// Accesses that cross regions: neighbours are one memory, holes and read-only parts are found before the first byte moves.

import { KvmMemory, padding, struct, u8, u32le, u64be, u64le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('memory: crossing regions');

const PAGE = 4096;

/** Pages 0–1, 2 and 3 are neighbours in three mappings; then a hole; page 5 is read-only, page 4 not there. */
function memoryOfPieces(): KvmMemory {
  const memory = new KvmMemory(2 * PAGE);
  memory.addRegion(2 * PAGE, PAGE);
  memory.addRegion(3 * PAGE, PAGE);
  memory.addRegion(5 * PAGE, PAGE, { readOnly: true });
  return memory;
}

test('read, write, memset and objects cross neighbours', () => {
  using memory = memoryOfPieces();
  const bytes = Uint8Array.from({ length: 2 * PAGE }, (_none, index) => index * 7);
  memory.write(1.5 * PAGE, bytes);
  const back = new Uint8Array(2 * PAGE);
  memory.read(1.5 * PAGE, back);
  assert.equal(back, bytes);

  memory.memset(2 * PAGE - 100, 9, PAGE + 200);
  memory.read(2 * PAGE - 101, back.subarray(0, PAGE + 202));
  assert.is(
    back.subarray(1, PAGE + 201).findIndex(byte => byte !== 9),
    -1,
  );
  assert.ok(back[0] !== 9 || bytes[PAGE / 2 - 101] === 9);

  memory.writeObj(2 * PAGE - 3, u64be, 0x0102_0304_0506_0708n);
  assert.is(memory.readObj(2 * PAGE - 3, u64be), 0x0102_0304_0506_0708n);
  const layout = struct({ a: u64le, gap: padding(4), b: u32le });
  memory.writeObj(3 * PAGE - 10, layout, { a: 5n, b: 6 });
  assert.equal(memory.readObj(3 * PAGE - 10, layout), { a: 5n, b: 6 });
  assert.is(memory.readObj(3 * PAGE - 2, u8), 9, 'padding keeps its bytes');
});

test('a write that would end in a hole or in read-only memory stores nothing', async () => {
  using memory = memoryOfPieces();
  const bytes = new Uint8Array(PAGE).fill(1);
  assert.is(await codeOf(() => memory.write(3.5 * PAGE, bytes)), 'ERR_MEMORY_UNMAPPED');
  assert.is(await codeOf(() => memory.memset(3 * PAGE, 1, PAGE + 1)), 'ERR_MEMORY_UNMAPPED');
  memory.addRegion(4 * PAGE, PAGE);
  assert.is(await codeOf(() => memory.write(4.5 * PAGE, bytes)), 'ERR_MEMORY_READ_ONLY');
  assert.is(await codeOf(() => memory.memset(3 * PAGE, 1, 3 * PAGE)), 'ERR_MEMORY_READ_ONLY');
  assert.is(await codeOf(() => memory.writeObj(5 * PAGE - 1, u32le, 1)), 'ERR_MEMORY_READ_ONLY');

  const all = new Uint8Array(6 * PAGE);
  memory.dumpAll(all);
  assert.ok(all.every(byte => byte === 0));
});

test('a read that would end in a hole leaves the buffer alone', async () => {
  using memory = memoryOfPieces();
  const into = new Uint8Array(2 * PAGE).fill(5);
  assert.is(await codeOf(() => memory.read(3 * PAGE, into)), 'ERR_MEMORY_UNMAPPED');
  assert.ok(into.every(byte => byte === 5));
});

test('nothing at all may be read and written anywhere', () => {
  using memory = memoryOfPieces();
  memory.read(0x7000_0000, new Uint8Array(0));
  memory.write(5 * PAGE, new Uint8Array(0));
  memory.memset(4 * PAGE, 0, 0);
});

test('source and target may overlap, in one region and across several', () => {
  for (const length of [20, 300, PAGE, 40 * PAGE]) {
    using memory = new KvmMemory(64 * PAGE);
    memory.setReadOnly(63 * PAGE, PAGE, true);
    memory.addRegion(64 * PAGE, PAGE);
    const pattern = Uint8Array.from({ length }, (_none, index) => index ^ (index >> 8));
    for (const shift of [-7, 7]) {
      memory.write(4 * PAGE, pattern);
      memory.write(4 * PAGE + shift, memory.view(4 * PAGE, length));
      const back = new Uint8Array(length);
      memory.read(4 * PAGE + shift, back);
      assert.equal(back, pattern);
      memory.write(4 * PAGE, pattern);
      memory.read(4 * PAGE, memory.view(4 * PAGE + shift, length));
      memory.read(4 * PAGE + shift, back);
      assert.equal(back, pattern);
    }
  }
});

test('overlap across pieces of one mapping', () => {
  using memory = new KvmMemory(8 * PAGE);
  memory.addExternalRegion(8 * PAGE, memory.hostAddress(), 4 * PAGE, false);
  const pattern = Uint8Array.from({ length: 2 * PAGE }, (_none, index) => index * 3 + (index >> 8));
  memory.write(0, pattern);
  // [7, 9) pages is the end of the mapping and, once more, its beginning: the source is overwritten on the way.
  memory.write(7 * PAGE, memory.view(0, 2 * PAGE));
  const back = new Uint8Array(2 * PAGE);
  memory.read(7 * PAGE, back);
  assert.equal(back.subarray(0, PAGE), pattern.subarray(0, PAGE));
  assert.equal(back.subarray(PAGE), pattern.subarray(PAGE));
});

test.run();
