// What the guest wrote survives every change of its slot: a new id, a split, tracking turned off, a VM detached by a failure.

import { KvmMemory } from 'node-kvm';
import * as assert from 'uvu/assert';
import { kvmSuite } from '../harness.ts';
import { TinyGuest } from '../tiny-guest.ts';

const test = kvmSuite('dirty: changes of slots');

const PAGE = 4096;
const dirty = (memory: KvmMemory) =>
  memory.getDirtyPages().map(({ guestAddr, size }) => [guestAddr / PAGE, size / PAGE]);

/** Sixteen pages in two regions, 11 and 5, attached and tracked. */
function tracked(): { memory: KvmMemory; guest: TinyGuest } & Disposable {
  const guest = new TinyGuest();
  const memory = new KvmMemory(11 * PAGE);
  memory.addRegion(11 * PAGE, 5 * PAGE);
  memory.attachVmFd(guest.vmFd);
  memory.enableDirtyTracking();
  const end = () => {
    memory[Symbol.dispose]();
    guest.close();
  };
  return { memory, guest, [Symbol.dispose]: end };
}

test('registerSlot under another id', () => {
  using pair = tracked();
  const { memory, guest } = pair;
  guest.write(4 * PAGE, 1);
  memory.registerSlot(30, 0, 11 * PAGE, memory.hostAddress(), 0);
  guest.write(5 * PAGE, 1);
  assert.equal(dirty(memory), [[4, 2]]);
});

test('unregisterSlot: the guest is cut off, its pages stay', () => {
  using pair = tracked();
  const { memory, guest } = pair;
  guest.write(4 * PAGE, 1);
  memory.unregisterSlot(0);
  assert.is(guest.write(5 * PAGE, 1), 'mmio');
  assert.equal(dirty(memory), [[4, 1]]);
});

test('setReadOnly: split and joined, at offsets that are no multiple of 64 pages', () => {
  using pair = tracked();
  const { memory, guest } = pair;
  guest.write(4 * PAGE, 1);
  guest.write(12 * PAGE, 1);
  memory.setReadOnly(3 * PAGE, PAGE, true);
  assert.is(guest.write(3 * PAGE, 1), 'mmio');
  guest.write(7 * PAGE, 1);
  memory.setReadOnly(3 * PAGE, PAGE, false);
  guest.write(3 * PAGE, 1);
  assert.equal(dirty(memory), [
    [3, 2],
    [7, 1],
    [12, 1],
  ]);
});

test('logging keeps READONLY on a read-only slot', () => {
  using pair = tracked();
  const { memory, guest } = pair;
  memory.disableDirtyTracking();
  memory.setReadOnly(11 * PAGE, 5 * PAGE, true);
  memory.enableDirtyTracking();
  assert.is(guest.write(12 * PAGE, 1), 'mmio');
  memory.disableDirtyTracking();
  assert.is(guest.write(12 * PAGE, 1), 'mmio');
});

test('off and on: recorded pages are kept, those written meanwhile are not', () => {
  using pair = tracked();
  const { memory, guest } = pair;
  guest.write(4 * PAGE, 1);
  memory.disableDirtyTracking();
  guest.write(6 * PAGE, 1);
  memory.enableDirtyTracking();
  guest.write(8 * PAGE, 1);
  assert.equal(dirty(memory), [
    [4, 1],
    [8, 1],
  ]);
});

test('guest and host on one page, an aborted harvest, a region added meanwhile', () => {
  using pair = tracked();
  const { memory, guest } = pair;
  guest.write(4 * PAGE, 1);
  memory.memset(4 * PAGE, 2, 1);
  const harvest = memory.harvest();
  assert.is(harvest.pageCount, 1);
  guest.write(4 * PAGE, 3);
  guest.write(12 * PAGE, 3);
  harvest.abort();
  memory.removeRegion(11 * PAGE);
  memory.addRegion(13 * PAGE, 2 * PAGE);
  guest.write(14 * PAGE, 1);
  assert.equal(dirty(memory), [
    [4, 1],
    [14, 1],
  ]);
  assert.equal(dirty(memory), []);
});

test('a page that two slots map is dirty at both addresses', () => {
  using pair = tracked();
  const { memory, guest } = pair;
  memory.removeRegion(11 * PAGE);
  memory.addExternalRegion(11 * PAGE, memory.hostAddress() + BigInt(2 * PAGE), 3 * PAGE, false);
  guest.write(12 * PAGE, 1);
  assert.equal(dirty(memory), [
    [3, 1],
    [12, 1],
  ]);
});

test.run();
