// Regions and slots of a VM that was attached by its descriptor: never out of step, and no call that the kernel must mend.

import { KvmMemory } from 'node-kvm';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { KVM_CAP, KVM_MEM } from '../../shared/generated/kvm-abi.ts';
import { codeOf } from '../errors.ts';
import { kvmDevice, kvmSuite } from '../harness.ts';
import { fdCount } from '../process-state.ts';

const test = kvmSuite('memory: slots');

const PAGE = 4096;
const HERE = 0x1000_0000;
const slots = (memory: KvmMemory) => memory.regions().map(({ slot }) => slot);

/** A bare VM, closed at the end of the test. */
function vm(): { fd: number; limit: number } & Disposable {
  const system = native().openSystem(kvmDevice);
  const made = system.createVm();
  const close = () => {
    made.close();
    system.close();
  };
  return { fd: made.fd, limit: made.checkExtension(KVM_CAP.NR_MEMSLOTS), [Symbol.dispose]: close };
}

test('attaching makes every region a slot, and regions to come', () => {
  using machine = vm();
  using memory = new KvmMemory(4 * PAGE);
  memory.addRegion(HERE, PAGE);
  assert.equal(slots(memory), [undefined, undefined]);
  memory.attachVmFd(machine.fd);
  assert.equal(slots(memory), [0, 1]);
  memory.addRegion(2 * HERE, PAGE, { readOnly: true });
  memory.removeRegion(HERE);
  memory.addRegion(3 * HERE, PAGE);
  assert.equal(slots(memory), [0, 2, 1]);
});

test('the descriptor is duplicated, and given back by dispose', async () => {
  const memory = new KvmMemory(PAGE);
  const before = fdCount();
  {
    using machine = vm();
    memory.attachVmFd(machine.fd);
    assert.is(await codeOf(() => memory.attachVmFd(machine.fd)), 'ERR_VM_ATTACHED');
  }
  assert.is(fdCount(), before + 1);
  memory.addRegion(HERE, PAGE);
  memory[Symbol.dispose]();
  assert.is(fdCount(), before);
});

test('what is no VM, or closed, is refused', async () => {
  using memory = new KvmMemory(PAGE);
  let closed = -1;
  {
    using machine = vm();
    closed = machine.fd;
  }
  const before = fdCount();
  assert.is(await codeOf(() => memory.attachVmFd(0)), 'ERR_NOT_A_VM');
  assert.ok(['ERR_SYSCALL', 'ERR_NOT_A_VM'].includes(await codeOf(() => memory.attachVmFd(closed + 1000))));
  assert.is(fdCount(), before);
  assert.equal(slots(memory), [undefined]);
});

test('a VM whose slots are in the way is not attached to', async () => {
  using machine = vm();
  using first = new KvmMemory(4 * PAGE);
  first.attachVmFd(machine.fd);
  using second = new KvmMemory(2 * PAGE);
  assert.is(await codeOf(() => second.attachVmFd(machine.fd)), 'ERR_SYSCALL');
  assert.equal(slots(second), [undefined]);
});

test('registerSlot: exactly a region, or an error that names both', async () => {
  using machine = vm();
  using memory = new KvmMemory(4 * PAGE);
  const host = memory.hostAddress();
  assert.is(await codeOf(() => memory.registerSlot(5, 0, 4 * PAGE, host, 0)), 'ERR_VM_NOT_ATTACHED');
  memory.attachVmFd(machine.fd);
  for (const [addr, size, at] of [
    [0, 8 * PAGE, host],
    [0, PAGE, host],
    [0, 4 * PAGE, host + 4096n],
    [PAGE, 3 * PAGE, host + 4096n],
    [HERE, PAGE, host],
  ] as const) {
    assert.is(await codeOf(() => memory.registerSlot(5, addr, size, at, 0)), 'ERR_SLOT_MISMATCH');
  }
  assert.throws(() => memory.registerSlot(5, 0, 8 * PAGE, host, 0), /0x8000\).*0x4000\)/);
  assert.equal(slots(memory), [0]);
});

test('registerSlot: another id, the same again, flags, an id in use', async () => {
  using machine = vm();
  using memory = new KvmMemory(4 * PAGE);
  const host = memory.hostAddress();
  const added = memory.addRegion(HERE, PAGE);
  memory.attachVmFd(machine.fd);
  memory.registerSlot(7, 0, 4 * PAGE, host, 0);
  memory.registerSlot(7, 0, 4 * PAGE, host, KVM_MEM.LOG_DIRTY_PAGES);
  memory.registerSlot(7, 0n, BigInt(4 * PAGE), host, KVM_MEM.READONLY);
  assert.equal(slots(memory), [7, 1]);
  assert.is(await codeOf(() => memory.registerSlot(7, HERE, PAGE, added, 0)), 'ERR_SLOT_EXISTS');
  assert.is(await codeOf(() => memory.registerSlot(7, 0, 4 * PAGE, host, 4)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => memory.registerSlot(-1, 0, 4 * PAGE, host, 0)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => memory.registerSlot(machine.limit, 0, 4 * PAGE, host, 0)), 'ERR_TOO_MANY_SLOTS');
  assert.is(await codeOf(() => memory.registerSlot(9, 0, 4 * PAGE, host + 1n, 0)), 'ERR_MEMORY_ALIGNMENT');
});

test('where the guest may not write, no device writes for it; the API does', () => {
  using machine = vm();
  using memory = new KvmMemory(4 * PAGE);
  memory.addRegion(4 * PAGE, PAGE);
  memory.attachVmFd(machine.fd);
  memory.registerSlot(0, 0, 4 * PAGE, memory.hostAddress(), KVM_MEM.READONLY);
  assert.equal(
    [0, 3 * PAGE, 4 * PAGE].map(at => memory.covers(at, PAGE, true)),
    [false, false, true],
  );
  assert.not(memory.covers(3 * PAGE, 2 * PAGE, true), 'nor in a part');
  assert.ok(memory.covers(0, 5 * PAGE, false));
  memory.memset(0, 1, PAGE);
});

test('unregisterSlot: a known one, once', async () => {
  using machine = vm();
  using memory = new KvmMemory(4 * PAGE);
  assert.is(await codeOf(() => memory.unregisterSlot(0)), 'ERR_SLOT_UNKNOWN');
  memory.attachVmFd(machine.fd);
  memory.unregisterSlot(0);
  assert.is(await codeOf(() => memory.unregisterSlot(0)), 'ERR_SLOT_UNKNOWN');
  assert.equal(slots(memory), [undefined]);
  memory.registerSlot(3, 0, 4 * PAGE, memory.hostAddress(), 0);
  assert.equal(slots(memory), [3]);
});

test('setReadOnly: pieces get ids of their own, and the first keeps its own', () => {
  using machine = vm();
  using memory = new KvmMemory(8 * PAGE);
  memory.addRegion(HERE, PAGE);
  memory.attachVmFd(machine.fd);
  memory.setReadOnly(2 * PAGE, PAGE, true);
  assert.equal(slots(memory), [0, 2, 3, 1]);
  memory.setReadOnly(2 * PAGE, PAGE, false);
  assert.equal(slots(memory), [0, 1]);
});

test('the dirty sources that a VM allows', async () => {
  using machine = vm();
  using memory = new KvmMemory(PAGE);
  memory.attachVmFd(machine.fd);
  assert.is(await codeOf(() => memory.enableDirtyTracking({ source: 'host' })), 'ERR_DIRTY_SOURCE');
  memory.enableDirtyTracking({ source: 'bitmap' });
  assert.equal(memory.getDirtyPages(), []);
});

test.run();
