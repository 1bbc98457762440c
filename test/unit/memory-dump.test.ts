// dumpAll: all of guest RAM at its addresses, holes as zeros, nothing half-done; and views, which copy nothing.

import { KvmMemory, u32le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('memory: dump and view');

const PAGE = 4096;

test('regions at their addresses, holes zeroed, the tail left alone', () => {
  using memory = new KvmMemory(PAGE);
  memory.addRegion(3 * PAGE, PAGE);
  memory.memset(0, 1, PAGE);
  memory.memset(3 * PAGE, 3, PAGE);
  const into = new Uint8Array(5 * PAGE).fill(9);
  memory.dumpAll(into);
  const expected = new Uint8Array(5 * PAGE);
  expected
    .fill(1, 0, PAGE)
    .fill(3, 3 * PAGE, 4 * PAGE)
    .fill(9, 4 * PAGE);
  assert.equal(into, expected);
});

test('a buffer of addressLimit() bytes is enough, one byte less copies nothing', async () => {
  using memory = new KvmMemory(PAGE);
  memory.addRegion(3 * PAGE, PAGE);
  memory.memset(0, 1, PAGE);
  memory.dumpAll(new Uint8Array(memory.addressLimit()));
  const small = new Uint8Array(memory.addressLimit() - 1);
  assert.is(await codeOf(() => memory.dumpAll(small)), 'ERR_BUFFER_TOO_SMALL');
  assert.ok(small.every(byte => byte === 0));
});

test('a view is the memory itself, within one mapping', async () => {
  using memory = new KvmMemory(2 * PAGE);
  memory.addRegion(2 * PAGE, PAGE);
  const view = memory.view(PAGE, PAGE);
  view[4] = 7;
  assert.is(memory.readObj(PAGE + 4, u32le), 7);
  memory.writeObj(PAGE + 8, u32le, 8);
  assert.is(view[8], 8);
  assert.ok(view.buffer instanceof SharedArrayBuffer);
  assert.is(await codeOf(() => memory.view(PAGE, 2 * PAGE)), 'ERR_MEMORY_RANGE');
  assert.is(await codeOf(() => memory.view(3 * PAGE, 1)), 'ERR_MEMORY_UNMAPPED');
  assert.is(memory.view(PAGE, 0).length, 0);
});

test('host addresses', async () => {
  using memory = new KvmMemory(2 * PAGE);
  const added = memory.addRegion(0x10_0000, PAGE);
  assert.is(memory.getHostAddress(0), memory.hostAddress());
  assert.is(memory.getHostAddress(PAGE + 5), memory.hostAddress() + BigInt(PAGE + 5));
  assert.is(memory.getHostAddress(0x10_0fffn), added + 0xfffn);
  assert.is(await codeOf(() => memory.getHostAddress(2 * PAGE)), 'ERR_MEMORY_UNMAPPED');
});

test.run();
