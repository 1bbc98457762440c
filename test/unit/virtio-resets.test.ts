// A driver that resets a device, or takes a queue back, while the device has something of it: what is in flight vanishes, what comes
// after is served, and buffers that the driver has taken back are touched no more. Without KVM.

import { setImmediate as turn } from 'node:timers/promises';
import { KvmMemory, u32le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BALLOON_F, VirtioBalloon } from '../../shared/virtio/balloon.ts';
import { BLK_F, type Disk, REQUEST, VirtioBlk } from '../../shared/virtio/blk.ts';
import type { Chain } from '../../shared/virtio/chain.ts';
import type { VirtioDevice } from '../../shared/virtio/device.ts';
import { MMIO } from '../../shared/virtio/mmio.ts';
import { type NetBackend, VirtioNet } from '../../shared/virtio/net.ts';
import type { Virtqueue } from '../../shared/virtio/queue.ts';
import { codeOf } from '../errors.ts';
import { ModelQueue, QueuesDriver } from '../virtio-queues.ts';

const test = suite('virtio, resets and queues that are taken back');
const MEMORY = 0x40_0000;
const HEADER = 0x20_0000;
const STATUS = 0x20_1000;

/** A disk whose flushes end when they are told to. */
class HeldDisk implements Disk {
  readonly capacity = 1 << 20;
  readonly readOnly = false;
  readonly id = 'held';
  readonly ends: (() => void)[] = [];

  async read(): Promise<void> {}

  async write(): Promise<void> {}

  flush(): Promise<void> {
    return new Promise(resolve => {
      this.ends.push(resolve);
    });
  }

  end(): void {
    for (const end of this.ends.splice(0)) end();
  }
}

function diskGuest() {
  const memory = new KvmMemory(MEMORY);
  memory.writeObj(HEADER, u32le, REQUEST.FLUSH);
  const disk = new HeldDisk();
  const driver = new QueuesDriver(new VirtioBlk(disk), memory).setUp(BLK_F.FLUSH, [256]);
  const flush = () => driver.queue(0).add([{ at: HEADER, length: 16 }], [{ at: STATUS, length: 1 }]);
  return { memory, disk, driver, flush };
}

test('a disk that is busy with requests from before a reset goes on with those behind it when they end', async () => {
  const { memory, disk, driver, flush } = diskGuest();
  using _ = memory;
  for (let i = 0; i < 64; i++) flush();
  driver.queue(0).kick();
  assert.is(disk.ends.length, 64);

  driver.setUp(BLK_F.FLUSH, [256]);
  flush();
  driver.queue(0).kick();
  assert.is(disk.ends.length, 64, 'they still count: resets do not pile requests up');
  disk.end();
  for (let i = 0; i < 4; i++) await turn();

  assert.is(disk.ends.length, 1, 'the new one has begun');
  disk.end();
  for (let i = 0; i < 4; i++) await turn();
  assert.is(driver.queue(0).collect().length, 1);
});

test('requests from before and behind a reset that end in the same turn: the driver hears of its own', async () => {
  const { memory, disk, driver, flush } = diskGuest();
  using _ = memory;
  flush();
  driver.queue(0).kick();
  driver.setUp(BLK_F.FLUSH, [256]);
  flush();
  driver.queue(0).kick();
  const before = driver.interrupts;
  disk.end();
  for (let i = 0; i < 4; i++) await turn();

  assert.is(driver.queue(0).collect().length, 1);
  assert.is(driver.interrupts, before + 1);
});

/** Takes queue `index` back and sets it up anew. */
function renew(driver: QueuesDriver, index: number, size: number): ModelQueue {
  driver.set(MMIO.QUEUE_SEL, index);
  driver.set(MMIO.QUEUE_READY, 0);
  const queue = new ModelQueue(driver, index, size);
  driver.queues[index] = queue;
  return queue;
}

test('net: a buffer that was kept for the next frame is not written when its queue has been taken back', () => {
  using memory = new KvmMemory(MEMORY);
  const backend: NetBackend = { send: () => true, onFrame: undefined, close() {} };
  const device = new VirtioNet({ mac: Uint8Array.of(2, 0, 0, 0, 0, 7), mtu: 1500 }, backend);
  const driver = new QueuesDriver(device, memory).setUp(0n, [4, 4]);
  const small = { at: 0x30_0000, length: 100 };
  driver.queue(0).add([], [small]);
  assert.not(backend.onFrame?.(new Uint8Array(1000)), 'it is too small, and kept');

  const rx = renew(driver, 0, 4);
  memory.memset(small.at, 0xee, small.length);
  const id = rx.add([], [{ at: 0x31_0000, length: 100 }]);
  assert.ok(backend.onFrame?.(new Uint8Array(60)));

  assert.equal(rx.collect(), [{ id, length: 72 }]);
  assert.ok(memory.view(small.at, small.length).every(byte => byte === 0xee));
});

test('balloon: statistics are not asked for by a buffer of a queue that has been taken back', () => {
  using memory = new KvmMemory(MEMORY);
  const device = new VirtioBalloon({ discard() {}, actual() {}, stats() {} });
  const driver = new QueuesDriver(device, memory).setUp(BALLOON_F.STATS_VQ, [4, 4, 4]);
  const send = (queue: ModelQueue) => {
    queue.add([queue.buffer(0, 10)], []);
    queue.kick();
  };
  send(driver.queue(2));
  const stats = renew(driver, 2, 4);
  assert.not(device.askStats());
  assert.equal(stats.collect(), []);

  send(stats);
  assert.not(driver.needsReset, 'nor is the new one a second one');
  assert.ok(device.askStats());
  assert.is(stats.collect().length, 1);
});

/** Keeps what it takes. */
class Keeping implements VirtioDevice {
  readonly name = 'keeping';
  readonly id = 42;
  readonly features = 0n;
  readonly queueSizes = [4, 4];
  readonly kept: [Virtqueue, Chain][] = [];

  onQueue(queue: Virtqueue): void {
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) this.kept.push([queue, chain]);
  }
}

test('a chain goes back to the queue that it was taken from: another one refuses it, a successor ignores it', async () => {
  using memory = new KvmMemory(MEMORY);
  const device = new Keeping();
  const driver = new QueuesDriver(device, memory).setUp(0n, [4, 4]);
  const ask = (index: number) => {
    driver.queue(index).add([], [{ at: 0x30_0000, length: 8 }]);
    driver.queue(index).kick();
    return device.kept.pop() as [Virtqueue, Chain];
  };
  const [first, chain] = ask(0);
  const [second] = ask(1);
  assert.ok(chain.isOpen);
  assert.is(await codeOf(() => second.put(chain, 0)), 'ERR_STATE');

  renew(driver, 0, 4);
  assert.not(chain.isOpen);
  const [successor, next] = ask(0);
  assert.is.not(successor, first);
  successor.put(chain, 0);
  assert.equal(driver.queue(0).collect(), [], 'the ring of the new one does not have it');
  successor.put(next, 0);
  assert.is(driver.queue(0).collect().length, 1);
});

/** Memory that loses a region when the armed device next reads from it: between taking a request and reading what it says. */
class Vanishing extends KvmMemory {
  at: number | undefined;

  override read(addr: number | bigint, into: Uint8Array): void {
    const { at } = this;
    if (at !== undefined && addr === at) {
      this.at = undefined;
      this.removeRegion(at);
    }
    super.read(addr, into);
  }
}

test('RAM that is taken away under a request: what the last request said is not done again', () => {
  using memory = new Vanishing(MEMORY);
  const asked: number[] = [];
  const peer = { discard: (all: readonly { start: number }[]) => asked.push(all.length), actual() {}, stats() {} };
  const balloon = new QueuesDriver(new VirtioBalloon(peer), memory).setUp(0n, [4, 4]);
  const gone = 0x100_0000;
  const inflate = () => {
    memory.addRegion(gone, 0x1000);
    memory.writeObj(gone, u32le, 0x300);
    balloon.queue(0).add([{ at: gone, length: 4 }], []);
    memory.at = asked.length === 0 ? undefined : gone;
    balloon.queue(0).kick();
  };
  inflate();
  memory.removeRegion(gone);
  inflate();
  assert.equal(asked, [1]);
  assert.ok(balloon.needsReset);

  const zeroed: number[] = [];
  const disk: Disk = Object.assign(new HeldDisk(), {
    writeZeroes: async (position: number) => void zeroed.push(position),
  });
  const blk = new QueuesDriver(new VirtioBlk(disk), memory).setUp(BLK_F.WRITE_ZEROES, [16]);
  memory.memset(HEADER, 0, 16);
  memory.writeObj(HEADER, u32le, REQUEST.WRITE_ZEROES);
  const clear = () => {
    memory.addRegion(gone, 0x1000);
    memory.writeObj(gone, u32le, 8);
    memory.writeObj(gone + 8, u32le, 1);
    const parts = [
      { at: HEADER, length: 16 },
      { at: gone, length: 16 },
    ];
    blk.queue(0).add(parts, [{ at: STATUS, length: 1 }]);
    memory.at = zeroed.length === 0 ? undefined : gone;
    blk.queue(0).kick();
  };
  clear();
  memory.removeRegion(gone);
  clear();
  assert.equal(zeroed, [4096]);
  assert.ok(blk.needsReset);
});

test.run();
