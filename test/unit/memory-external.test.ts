// External regions: memory that somebody else mapped, checked as far as can be; ranges of our own mappings share their buffer.

import { KvmMemory, u8, u32le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { codeOf } from '../errors.ts';

const test = suite('memory: external regions');

const PAGE = 4096;
const HERE = 0x1000_0000;

test('memory that is mapped and writable becomes guest memory', () => {
  const { buffer, hostAddr } = native().mapMemory({ size: 4 * PAGE, kind: 'anonymous' });
  using memory = new KvmMemory(PAGE);
  memory.addExternalRegion(HERE, hostAddr + BigInt(PAGE), 2 * PAGE, false);
  memory.writeObj(HERE + 8, u32le, 0x1234);
  assert.is(new DataView(buffer).getUint32(PAGE + 8, true), 0x1234);
  assert.is(memory.getHostAddress(HERE), hostAddr + BigInt(PAGE));
  assert.is(memory.size(), 3 * PAGE);
});

test('an address where nothing is mapped is refused before anything changed', async () => {
  using memory = new KvmMemory(PAGE);
  assert.is(await codeOf(() => memory.addExternalRegion(HERE, 0x1000n, PAGE, false)), 'ERR_MEMORY_UNMAPPED');
  assert.is(await codeOf(() => memory.addExternalRegion(HERE, 0n, PAGE, false)), 'ERR_OUT_OF_RANGE');
  assert.is(
    await codeOf(() => memory.addExternalRegion(HERE, (1n << 64n) - 4096n, 2 * PAGE, false)),
    'ERR_OUT_OF_RANGE',
  );
  assert.is(memory.regions().length, 1);
});

test('a range of an own mapping is the same buffer at an offset', async () => {
  using memory = new KvmMemory(8 * PAGE);
  memory.addExternalRegion(HERE, memory.hostAddress() + BigInt(2 * PAGE), 2 * PAGE, true);
  const [base, alias] = memory.regions();
  assert.is(alias?.buffer, base?.buffer);
  assert.is(alias?.offset, 2 * PAGE);
  memory.writeObj(2 * PAGE + 4, u8, 9);
  assert.is(memory.readObj(HERE + 4, u8), 9);
  assert.is(await codeOf(() => memory.writeObj(HERE, u8, 1)), 'ERR_MEMORY_READ_ONLY');
});

test('a page that is mapped twice is dirty at both addresses', () => {
  using memory = new KvmMemory(8 * PAGE);
  memory.addExternalRegion(HERE, memory.hostAddress() + BigInt(2 * PAGE), 2 * PAGE, false);
  memory.enableDirtyTracking();
  memory.writeObj(HERE + PAGE, u8, 1);
  assert.equal(memory.getDirtyPages(), [
    { guestAddr: 3 * PAGE, size: PAGE },
    { guestAddr: HERE + PAGE, size: PAGE },
  ]);
});

test("another memory's mapping shares its buffer too, so that wait and notify meet", async () => {
  using owner = new KvmMemory(4 * PAGE);
  using other = new KvmMemory(PAGE);
  other.addExternalRegion(HERE, owner.hostAddress(), 4 * PAGE, false);
  assert.is(other.regions()[1]?.buffer, owner.regions()[0]?.buffer);
  const waiting = owner.atomics.waitAsync(64, u32le, 0, 5000);
  assert.is(other.atomics.notify(HERE + 64, u32le), 1);
  assert.is(await waiting.value, 'ok');
});

test('a range that is partly in a mapping of ours is refused', async () => {
  using memory = new KvmMemory(4 * PAGE);
  const beyond = memory.hostAddress() + BigInt(3 * PAGE);
  assert.is(await codeOf(() => memory.addExternalRegion(HERE, beyond, 2 * PAGE, false)), 'ERR_MEMORY_OVERLAP');
});

test.run();
