// Split and packed rings, with and without event index and indirect tables, driven by a model driver: what goes in comes out, in
// any order, over many laps; interrupts and notifications are neither lost nor needless. Without KVM.

import fc from 'fast-check';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Chain } from '../../shared/virtio/chain.ts';
import type { VirtioDevice } from '../../shared/virtio/device.ts';
import { STATUS } from '../../shared/virtio/mmio.ts';
import type { Virtqueue } from '../../shared/virtio/queue.ts';
import { codeOf } from '../errors.ts';
import { LAYOUT, ModelDriver, type RingChoice, type Segment } from '../virtio-driver.ts';

const test = suite('virtio rings');
const MEMORY = 0x8_0000;

/** Keeps chains until it is told which one to answer: with the sum of the bytes that it read, in every byte it may write. */
class Summing implements VirtioDevice {
  readonly name = 'summing';
  readonly id = 42;
  readonly features = 0n;
  readonly queueSizes = [64];
  readonly held: Chain[] = [];
  queue: Virtqueue | undefined;

  onQueue(queue: Virtqueue): void {
    this.queue = queue;
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) this.held.push(chain);
  }

  answer(which: number): void {
    const [chain] = this.held.splice(which % this.held.length, 1);
    if (chain === undefined) return;
    const input = new Uint8Array(chain.readableLength);
    assert.is(chain.read(0, input), input.length);
    const sum = input.reduce((total, byte) => (total + byte) & 0xff, 0);
    assert.is(chain.write(0, new Uint8Array(chain.writableLength).fill(sum)), chain.writableLength);
    this.queue?.put(chain, chain.writableLength);
  }
}

const choices: RingChoice[] = [true, false].flatMap(packed =>
  [true, false].flatMap(eventIndex =>
    [true, false].map(indirect => ({ packed, eventIndex, indirect, size: indirect ? 8 : 16 })),
  ),
);
const nameOf = ({ packed, eventIndex, indirect }: RingChoice) =>
  `${packed ? 'packed' : 'split'}${eventIndex ? ', event index' : ''}${indirect ? ', indirect' : ''}`;

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('add' as const),
      readable: fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 3 }),
      writable: fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 3 }),
      table: fc.boolean(),
      byte: fc.integer({ min: 0, max: 255 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('answer' as const), which: fc.nat(15) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('signal' as const) }) },
);

for (const choice of choices) {
  test(`chains come back with what they ask for: ${nameOf(choice)}`, () => {
    const property = fc.property(fc.array(step, { minLength: 50, maxLength: 150 }), steps => {
      using memory = new KvmMemory(MEMORY);
      const device = new Summing();
      const driver = new ModelDriver(device, memory, choice).setUp();
      driver.wantInterrupts(true);
      const expected = new Map<number, { sum: number; writable: Segment[] }>();
      let at = LAYOUT.BUFFERS as number;
      // One behind the other, so that no two that are in use overlap.
      const segment = (length: number): Segment => {
        if (at + length > MEMORY) at = LAYOUT.BUFFERS;
        at += length;
        return { at: at - length, length };
      };
      let waiting = 0;
      const collect = () => {
        const before = driver.interrupts;
        device.queue?.signal();
        // Every signal with something new interrupts: the driver asked for the very next one.
        assert.is(driver.interrupts - before, waiting > 0 ? 1 : 0);
        waiting = 0;
        for (const { id, length } of driver.collect()) {
          const { sum, writable } = expected.get(id) as { sum: number; writable: Segment[] };
          expected.delete(id);
          assert.is(
            length,
            writable.reduce((total, part) => total + part.length, 0),
          );
          for (const part of writable) assert.ok(memory.view(part.at, part.length).every(byte => byte === sum));
        }
        driver.wantInterrupts(true);
      };
      for (const action of steps) {
        if (action.op === 'add') {
          const table = action.table && choice.indirect;
          const needed = table ? 1 : action.readable.length + action.writable.length;
          if (driver.room < needed || expected.size >= 16) continue;
          const readable = action.readable.map(segment);
          const writable = action.writable.map(segment);
          for (const part of readable) memory.memset(part.at, action.byte, part.length);
          const sum = (readable.reduce((total, part) => total + part.length, 0) * action.byte) & 0xff;
          expected.set(driver.add(readable, writable, table), { sum, writable });
          driver.kick();
          assert.is(device.held.length + waiting, expected.size, 'no notification was lost');
        } else if (action.op === 'answer' && device.held.length > 0) {
          device.answer(action.which);
          waiting += 1;
        } else if (action.op === 'signal') collect();
      }
      while (device.held.length > 0) {
        device.answer(0);
        waiting += 1;
      }
      collect();
      assert.is(expected.size, 0);
      assert.equal(driver.faults, []);
      assert.is(driver.mmio.status & STATUS.NEEDS_RESET, 0);
    });
    fc.assert(property, { numRuns: 30 });
  });

  test(`a driver that wants no interrupts gets none: ${nameOf(choice)}`, () => {
    using memory = new KvmMemory(MEMORY);
    const device = new Summing();
    const driver = new ModelDriver(device, memory, choice).setUp();
    driver.wantInterrupts(false);
    driver.add([], [{ at: LAYOUT.BUFFERS, length: 8 }]);
    driver.kick();
    device.answer(0);
    device.queue?.signal();
    assert.is(driver.interrupts, 0);
    assert.is(driver.collect().length, 1);
  });

  test(`a device that is busy is not notified, one that waits is: ${nameOf(choice)}`, () => {
    using memory = new KvmMemory(MEMORY);
    let takes = false;
    const device: VirtioDevice = {
      name: 'lazy',
      id: 42,
      features: 0n,
      queueSizes: [64],
      onQueue(queue) {
        for (let chain = queue.take(); chain !== undefined; chain = takes ? queue.take() : undefined)
          queue.put(chain, 0);
      },
    };
    const driver = new ModelDriver(device, memory, choice).setUp();
    const add = () => driver.add([{ at: LAYOUT.BUFFERS, length: 8 }], []);
    add();
    assert.ok(driver.kick(), 'a new queue waits');
    add();
    assert.not(driver.kick(), 'it took one and has not seen the end of the queue');
    takes = true;
    driver.mmio.notify(0);
    add();
    assert.ok(driver.kick());
    assert.is(driver.collect().length, 3);
  });
}

test('what a device must not do is refused: put twice, too many bytes, use of a chain that was put back', async () => {
  using memory = new KvmMemory(MEMORY);
  const device = new Summing();
  const driver = new ModelDriver(device, memory, {
    packed: false,
    eventIndex: false,
    indirect: false,
    size: 8,
  }).setUp();
  driver.add([], [{ at: LAYOUT.BUFFERS, length: 8 }]);
  driver.kick();
  const [chain] = device.held as [Chain];
  assert.is(await codeOf(() => device.queue?.put(chain, 9)), 'ERR_OUT_OF_RANGE');
  device.queue?.put(chain, 8);
  assert.is(await codeOf(() => device.queue?.put(chain, 8)), 'ERR_STATE');
  assert.is(await codeOf(() => chain.write(0, new Uint8Array(8))), 'ERR_STATE');
});

test('a chain from before a reset vanishes', () => {
  using memory = new KvmMemory(MEMORY);
  const device = new Summing();
  const driver = new ModelDriver(device, memory, { packed: true, eventIndex: true, indirect: true, size: 8 }).setUp();
  driver.add([], [{ at: LAYOUT.BUFFERS, length: 8 }]);
  driver.kick();
  driver.set(0x70, 0);
  memory.memset(LAYOUT.DESCRIPTORS, 0, 128);
  device.answer(0);
  device.queue?.signal();
  assert.is(driver.interrupts, 0);
  assert.equal([...memory.view(LAYOUT.DESCRIPTORS, 128)], new Array(128).fill(0));
});

test('writes by a device reach dirty tracking: through write(), and through views', () => {
  using memory = new KvmMemory(MEMORY);
  memory.enableDirtyTracking({ source: 'host' });
  const device = new Summing();
  const driver = new ModelDriver(device, memory, {
    packed: false,
    eventIndex: false,
    indirect: false,
    size: 8,
  }).setUp();
  driver.add([], [{ at: 0x3_0000, length: 0x1800 }]);
  driver.add([], [{ at: 0x4_0800, length: 0x1000 }]);
  driver.kick();
  memory.getDirtyPages();
  device.answer(0);
  const [chain] = device.held as [Chain];
  for (const view of chain.writableViews()) view.fill(7);
  chain.wrote(0, chain.writableLength);
  const dirty = memory.getDirtyPages().flatMap(({ guestAddr, size }) => [Number(guestAddr), Number(size)]);
  assert.equal(dirty, [LAYOUT.DEVICE, 0x1000, 0x3_0000, 0x2000, 0x4_0000, 0x2000]);
});

test.run();
