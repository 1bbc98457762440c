// Every ioctl behind a change of regions or slots fails in turn: the table, the slots and the dirty pages are as before, and the
// same change works afterwards.

import { KvmMemory } from 'node-kvm';
import * as assert from 'uvu/assert';
import { type Failure, failEachIoctl } from '../failing-ioctls.ts';
import { kvmSuite } from '../harness.ts';
import { TinyGuest } from '../tiny-guest.ts';

const test = kvmSuite('memory: failing slot calls');

const PAGE = 4096;
const HERE = 0x10_0000;
const SET = 'KVM_SET_USER_MEMORY_REGION';
const GET = 'KVM_GET_DIRTY_LOG';

/** Twelve pages and two more, tracked; the guest wrote to page 3, the host to page 8. */
function attached(): { memory: KvmMemory; guest: TinyGuest; end(): void } {
  const guest = new TinyGuest();
  const memory = new KvmMemory(12 * PAGE);
  memory.addRegion(HERE, 2 * PAGE);
  memory.attachVmFd(guest.vmFd);
  memory.enableDirtyTracking({ source: 'bitmap' });
  guest.write(3 * PAGE, 1);
  memory.memset(8 * PAGE, 1, 1);
  const end = () => {
    memory[Symbol.dispose]();
    guest.close();
  };
  return { memory, guest, end };
}

const shape = (memory: KvmMemory) =>
  memory.regions().map(({ guestAddr, size, readOnly, slot }) => [guestAddr, size, readOnly, slot]);
const dirty = (memory: KvmMemory) =>
  memory.getDirtyPages().map(({ guestAddr, size }) => [guestAddr / PAGE, size / PAGE]);

interface Change {
  readonly name: string;
  readonly ioctls: readonly string[];
  run(memory: KvmMemory): void;
  undo(memory: KvmMemory): void;
}

const changes: readonly Change[] = [
  {
    name: 'setReadOnly, which splits one slot into three',
    ioctls: [GET, SET, SET, SET, SET],
    run: memory => memory.setReadOnly(2 * PAGE, 3 * PAGE, true),
    undo: memory => memory.setReadOnly(2 * PAGE, 3 * PAGE, false),
  },
  {
    name: 'registerSlot under another id',
    ioctls: [GET, SET, SET],
    run: memory => memory.registerSlot(9, 0, 12 * PAGE, memory.hostAddress(), 0),
    undo: memory => memory.registerSlot(0, 0, 12 * PAGE, memory.hostAddress(), 0),
  },
  {
    name: 'unregisterSlot',
    ioctls: [GET, SET],
    run: memory => memory.unregisterSlot(0),
    undo: memory => memory.registerSlot(0, 0, 12 * PAGE, memory.hostAddress(), 0),
  },
  {
    name: 'removeRegion',
    ioctls: [GET, SET],
    run: memory => memory.removeRegion(HERE),
    undo: memory => {
      memory.addRegion(HERE, 2 * PAGE);
    },
  },
  {
    name: 'disableDirtyTracking',
    ioctls: [GET, GET, SET, SET],
    run: memory => memory.disableDirtyTracking(),
    undo: memory => memory.enableDirtyTracking({ source: 'bitmap' }),
  },
];

for (const change of changes) {
  test(change.name, async () => {
    const { memory, guest, end } = attached();
    const before = shape(memory);
    const failed = await failEachIoctl({
      prepare: () => {},
      run: () => change.run(memory),
      undo: () => change.undo(memory),
      afterFailure(error: Failure) {
        assert.is(error.code, 'ERR_SYSCALL');
        assert.equal(shape(memory), before);
        // The slots are there, and log: a guest's store to another page arrives.
        assert.is(guest.write(5 * PAGE, 1), 'ram');
      },
    });
    assert.equal(failed, change.ioctls);
    assert.equal(shape(memory), before);
    assert.equal(dirty(memory), [
      [3, 1],
      [5, 1],
      [8, 1],
    ]);
    end();
  });
}

test('attachVmFd', async () => {
  using memory = new KvmMemory(4 * PAGE);
  memory.addRegion(HERE, PAGE);
  const failed = await failEachIoctl({
    prepare: () => new TinyGuest(),
    run: guest => memory.attachVmFd(guest.vmFd),
    undo: guest => {
      memory[Symbol.dispose]();
      guest.close();
    },
    afterFailure(error, guest) {
      assert.is(error.code, 'ERR_SYSCALL');
      assert.equal(
        shape(memory).map(([, , , slot]) => slot),
        [undefined, undefined],
      );
      guest.close();
    },
  }).catch(error => {
    // After the first success the memory is disposed of: the next attempts say so.
    assert.is(error.code, 'ERR_DISPOSED');
    return 'done';
  });
  assert.is(failed, 'done');
});

test.run();
