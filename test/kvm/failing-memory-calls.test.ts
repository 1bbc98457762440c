// Memory operations on a machine with three slots, each ioctl failing in turn: all or nothing, and no dirty page is lost.

import type { KvmMemory, VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { codeOf } from '../errors.ts';
import { ENOMEM, failEachIoctl } from '../failing-ioctls.ts';
import { code, le32 } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { fdCount } from '../process-state.ts';
import { CODE, loadGuest } from '../run-guest.ts';

const test = kvmSuite('failing memory calls');

const PAGE = 4096;
const SECOND = 0x1000_0000;
const THIRD = 0x2000_0000;

/** Writes to a page of each of the three slots. */
const guest = code(
  [0xa3, ...le32(0x5000)], //         mov [0x5000], eax
  [0xa3, ...le32(SECOND + PAGE)], //  mov [SECOND + PAGE], eax
  [0xa3, ...le32(THIRD + 4 * PAGE)], // mov [THIRD + 4 * PAGE], eax
  [0xf4], //                          hlt
);
const written = [0x5000, SECOND + PAGE, THIRD + 4 * PAGE];

/** A machine with three slots of 4 MiB, 3 pages and 5 pages. */
const threeSlots = (): Promise<VirtualMachine> =>
  loadGuest(guest, {
    mode: 32,
    onLoaded(vm) {
      vm.memory.addRegion(SECOND, 3 * PAGE);
      vm.memory.addRegion(THIRD, 5 * PAGE);
    },
  });

async function runToEnd(vm: VirtualMachine): Promise<void> {
  await vm.start();
  assert.is((await vm.finished).reason, 'halt');
}

const layout = (memory: KvmMemory) =>
  memory.regions().map(({ guestAddr, size, slot }) => [Number(guestAddr), Number(size), slot]);
/** Without the guest's code, which it only reads: KVM may map a page writable at its first read, and then reports it. */
const dirty = (memory: KvmMemory) =>
  memory
    .getDirtyPages()
    .map(({ guestAddr, size }) => [Number(guestAddr), Number(size)])
    .filter(([guestAddr]) => guestAddr !== CODE);

test('addRegion(): the table is as before', async () => {
  await using vm = await threeSlots();
  const { memory } = vm;
  memory.enableDirtyTracking({ source: 'bitmap' });
  const before = layout(memory);
  const fds = fdCount();

  const failed = await failEachIoctl({
    prepare: () => {},
    run: () => memory.addRegion(0x3000_0000, 7 * PAGE),
    undo: () => memory.removeRegion(0x3000_0000),
    afterFailure(error) {
      assert.is(error.code, 'ERR_SYSCALL');
      assert.equal(layout(memory), before);
      assert.is(fdCount(), fds);
    },
  });

  assert.equal(failed, ['KVM_SET_USER_MEMORY_REGION']);
  assert.equal(layout(memory), before);
});

test('enableDirtyTracking(): off again in all slots, and complete when it works', async () => {
  await using vm = await threeSlots();
  const { memory } = vm;

  const failed = await failEachIoctl({
    prepare: () => {},
    run: () => memory.enableDirtyTracking({ source: 'bitmap' }),
    undo: () => memory.disableDirtyTracking(),
    async afterFailure(error) {
      assert.is(error.code, 'ERR_SYSCALL');
      assert.is(await codeOf(() => memory.getDirtyPages()), 'ERR_DIRTY_TRACKING_OFF');
    },
  });
  memory.enableDirtyTracking({ source: 'bitmap' });
  await runToEnd(vm);

  assert.is(failed.filter(name => name === 'KVM_SET_USER_MEMORY_REGION').length, 3);
  assert.equal(
    dirty(memory),
    written.map(page => [page, PAGE]),
  );
});

test('enableDirtyTracking(): after a failure at the last slot the others do not log either', async () => {
  await using vm = await threeSlots();
  const { memory } = vm;

  native().injectFault('KVM_SET_USER_MEMORY_REGION', 3, ENOMEM);
  assert.is(await codeOf(() => memory.enableDirtyTracking({ source: 'bitmap' })), 'ERR_SYSCALL');
  await runToEnd(vm);
  memory.enableDirtyTracking({ source: 'bitmap' });

  // What the guest wrote while tracking was off is nobody's business.
  assert.equal(dirty(memory), []);
});

test('getDirtyPages(): a failing slot loses nothing that the others have given', async () => {
  await using vm = await threeSlots();
  const { memory } = vm;
  memory.enableDirtyTracking({ source: 'bitmap' });
  await runToEnd(vm);
  memory.write(SECOND, Uint8Array.of(1));
  const reports: number[][][] = [];

  const failed = await failEachIoctl({
    prepare: () => {},
    run: () => {
      reports.push(dirty(memory));
    },
    undo: () => {},
    afterFailure: error => assert.is(error.code, 'ERR_SYSCALL'),
  });

  assert.equal(failed, ['KVM_GET_DIRTY_LOG', 'KVM_GET_DIRTY_LOG', 'KVM_GET_DIRTY_LOG']);
  assert.equal(reports[0], [
    [0x5000, PAGE],
    [SECOND, 2 * PAGE],
    [THIRD + 4 * PAGE, PAGE],
  ]);
  assert.equal(reports.slice(1).flat(), []);
});

test('setReadOnly(): a region that is being split is whole again after each failure', async () => {
  await using vm = await threeSlots();
  const { memory } = vm;
  memory.enableDirtyTracking({ source: 'bitmap' });
  memory.write(SECOND, Uint8Array.of(1));
  const before = layout(memory);

  const failed = await failEachIoctl({
    prepare: () => {},
    run: () => memory.setReadOnly(SECOND + PAGE, PAGE, true),
    undo: () => memory.setReadOnly(SECOND + PAGE, PAGE, false),
    afterFailure(error) {
      assert.is(error.code, 'ERR_SYSCALL');
      assert.equal(layout(memory), before);
    },
  });
  await runToEnd(vm);

  // Read the log, delete one slot, create three.
  assert.equal(failed, ['KVM_GET_DIRTY_LOG', ...Array(4).fill('KVM_SET_USER_MEMORY_REGION')]);
  assert.is(vm.stats().total.exitsByReason['mmio'], undefined);
  assert.equal(dirty(memory), [
    [0x5000, PAGE],
    [SECOND, 2 * PAGE],
    [THIRD + 4 * PAGE, PAGE],
  ]);
});

test('removeRegion(): a failure is reported, the region stays, and can be removed the next time', async () => {
  await using vm = await threeSlots();
  const { memory } = vm;

  const failed = await failEachIoctl({
    prepare: () => {},
    run: () => memory.removeRegion(THIRD),
    undo: () => {
      memory.addRegion(THIRD, 5 * PAGE);
    },
    afterFailure(error) {
      assert.is(error.code, 'ERR_SYSCALL');
      assert.is(layout(memory).length, 3);
    },
  });
  // The guest writes to all three: they are memory, not MMIO.
  await runToEnd(vm);

  assert.is(vm.stats().total.exitsByReason['mmio'], undefined);
  assert.equal(failed, ['KVM_SET_USER_MEMORY_REGION']);
});

test.run();
