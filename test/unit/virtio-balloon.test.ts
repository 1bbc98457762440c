// The balloon over a model driver and real memory: what the guest gives up goes back to the host, pages that are not the guest's or not
// ours stay, and dirty tracking has them as written. Without KVM.

import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import fc from 'fast-check';
import { KvmMemory, type MemoryOptions } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BALLOON_F, type BalloonStats, type PageRange, VirtioBalloon } from '../../shared/virtio/balloon.ts';
import type { BalloonCommand } from '../../shared/virtio/balloon-link.ts';
import { giveBack } from '../../src/devices/give-back.ts';
import { BalloonHost } from '../../src/main/devices/balloon-host.ts';
import { codeOf } from '../errors.ts';
import { QueuesDriver } from '../virtio-queues.ts';

const test = suite('virtio balloon');
const PAGE = 4096;
const MEMORY = 0x80_0000;
/** Behind the queues. */
const FREE = 0x20_0000;
const ALL = BALLOON_F.STATS_VQ | BALLOON_F.REPORTING;

class World implements Disposable {
  readonly memory: KvmMemory;
  readonly ranges: PageRange[] = [];
  readonly told: (BalloonStats | undefined)[] = [];
  actual = -1;
  readonly device: VirtioBalloon;
  readonly driver: QueuesDriver;

  constructor(options: MemoryOptions = {}, features = ALL) {
    this.memory = new KvmMemory(MEMORY, options);
    this.device = new VirtioBalloon({
      discard: ranges => {
        this.ranges.push(...ranges);
        giveBack(this.memory, ranges);
      },
      actual: bytes => {
        this.actual = bytes;
      },
      stats: stats => this.told.push(stats),
    });
    this.driver = new QueuesDriver(this.device, this.memory).setUp(features, [16, 16, 4, 16, 16]);
  }

  /** The driver gives up these pages. */
  inflate(...pages: number[]): void {
    const queue = this.driver.queue(0);
    const place = queue.buffer(0, 4 * pages.length);
    this.memory.write(place.at, new Uint8Array(Uint32Array.from(pages).buffer));
    queue.add([place], []);
    queue.kick();
    queue.collect();
  }

  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
  }
}

/** Kilobytes of [at, at + length) that are in memory, as the kernel counts a whole mapping's. */
function residentKb(memory: KvmMemory, at: number): number {
  const address = memory.getHostAddress(at);
  let inside = false;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range !== null) inside = BigInt(`0x${range[1]}`) <= address && address < BigInt(`0x${range[2]}`);
    const rss = /^Rss: +(\d+) kB/.exec(line);
    if (inside && rss !== null) return Number(rss[1]);
  }
  throw new Error('the mapping is not in /proc/self/smaps');
}

for (const backing of ['anonymous', 'memfd'] as const) {
  test(`pages that the guest gives up go back to the host, and read as zeroes: ${backing}`, () => {
    using world = new World({ backing });
    const { memory } = world;
    memory.memset(FREE, 7, MEMORY - FREE);
    const before = residentKb(memory, FREE);
    const first = FREE / PAGE;
    world.inflate(...Array.from({ length: 1024 }, (_, i) => first + i));
    assert.equal(world.ranges, [{ start: FREE, length: 1024 * PAGE }]);
    assert.ok(before - residentKb(memory, FREE) >= 4000, 'the memory is the host’s again');
    assert.ok(memory.view(FREE, 1024 * PAGE).every(byte => byte === 0));
    assert.is(memory.view(FREE + 1024 * PAGE, 1)[0], 7, 'the next page stays');
    memory.memset(FREE, 9, PAGE);
    assert.is(memory.view(FREE, 1)[0], 9, 'and it can be used again');
  });
}

test('neighbours are one range, in the order in which they came', () => {
  using world = new World();
  const first = FREE / PAGE;
  world.inflate(first + 4, first + 5, first + 1, first, first + 6);
  assert.equal(
    world.ranges.map(({ start, length }) => [start / PAGE - first, length / PAGE]),
    [
      [4, 2],
      [1, 1],
      [0, 1],
      [6, 1],
    ],
  );
});

test('dirty tracking has the pages as written', () => {
  using world = new World();
  const { memory } = world;
  memory.enableDirtyTracking({ source: 'host' });
  world.inflate(FREE / PAGE, FREE / PAGE + 1);
  const dirty = memory.getDirtyPages().map(({ guestAddr, size }) => [Number(guestAddr), Number(size)]);
  assert.ok(
    dirty.some(([at, size]) => at === FREE && size === 2 * PAGE),
    String(dirty),
  );
});

test('memory that is somebody else’s, and a file’s, is never given back', () => {
  using owner = new KvmMemory(0x1_0000);
  owner.memset(0, 5, 0x1_0000);
  using world = new World();
  const at = 0x100_0000;
  // A second mapping of the library's memory as external memory: whose it is, is not known there.
  world.memory.addExternalRegion(at, owner.hostAddress(), 0x1_0000, false);
  world.inflate(at / PAGE);
  assert.is(owner.view(0, 1)[0], 5);
  assert.not(world.driver.needsReset);
});

test('a page that is no RAM, or read-only, needs a reset and gives nothing back', () => {
  for (const page of [MEMORY / PAGE, 0xffff_ffff, 0]) {
    using world = new World();
    if (page === 0) world.memory.setReadOnly(0, PAGE, true);
    world.inflate(FREE / PAGE, page);
    assert.ok(world.driver.needsReset, `page ${page}`);
    assert.equal(world.ranges, []);
  }
});

test('deflating is answered; more pages at once than there can be needs a reset', () => {
  using world = new World();
  const deflate = world.driver.queue(1);
  deflate.add([deflate.buffer(0, 64)], []);
  deflate.kick();
  assert.is(deflate.collect().length, 1);
  const inflate = world.driver.queue(0);
  inflate.add([{ at: FREE, length: 4 * 16_385 }], []);
  inflate.kick();
  assert.ok(world.driver.needsReset);
});

test('free pages that are reported go back, on whichever number the queue has; parts of pages stay', () => {
  for (const [features, index] of [
    [ALL, 3],
    [ALL, 4],
    [BALLOON_F.REPORTING, 2],
  ] as const) {
    using world = new World({}, features);
    world.memory.memset(FREE, 7, 8 * PAGE);
    const queue = world.driver.queue(index);
    queue.add(
      [],
      [
        { at: FREE, length: 2 * PAGE },
        { at: FREE + 3 * PAGE + 1, length: 2 * PAGE },
        { at: FREE + 7 * PAGE + 1, length: PAGE - 1 },
      ],
    );
    queue.kick();
    assert.equal(
      queue.collect().map(({ length }) => length),
      [0],
    );
    const kept = Array.from({ length: 8 }, (_, i) => world.memory.view(FREE + i * PAGE + 2, 1)[0]);
    assert.equal(kept, [0, 0, 7, 7, 0, 7, 7, 7], `queue ${index}`);
  }
});

test('the target is told by the configuration, and the driver says what it has', () => {
  using world = new World();
  world.device.setTarget(3 * PAGE);
  assert.is(world.driver.interrupts, 1);
  assert.is(world.driver.get(0x100), 3);
  world.driver.set(0x104, 2);
  assert.is(world.actual, 2 * PAGE);
  world.driver.set(0x100, 77);
  assert.is(world.driver.get(0x100), 3, 'the target is not the driver’s');
  world.driver.set(0x70, 0);
  assert.is(world.actual, 0);
});

test('statistics go to and fro; the first ones are nobody’s, unknown tags and values are left out', () => {
  using world = new World();
  const queue = world.driver.queue(2);
  const send = (stats: [number, bigint][]) => {
    const bytes = new Uint8Array(10 * stats.length);
    const view = new DataView(bytes.buffer);
    stats.forEach(([tag, value], i) => {
      view.setUint16(10 * i, tag, true);
      view.setBigUint64(10 * i + 2, value, true);
    });
    const place = queue.buffer(0, bytes.length);
    world.memory.write(place.at, bytes);
    queue.add([place], []);
    queue.kick();
  };
  assert.not(world.device.askStats(), 'no buffer yet');
  send([[4, 1n]]);
  assert.equal(world.told, []);
  assert.ok(world.device.askStats());
  assert.not(world.device.askStats(), 'it is asked already');
  assert.is(queue.collect().length, 1);
  send([
    [4, 123n],
    [5, 456n],
    [99, 1n],
    [0, (1n << 64n) - 1n],
  ]);
  assert.equal(world.told, [{ free: 123, total: 456 }]);
  assert.ok(world.device.askStats());
  world.driver.set(0x70, 0);
  assert.is(world.told.length, 2);
  assert.is(world.told[1], undefined, 'the driver went away instead');
});

test('the application’s side: target, counters and statistics over its channel', async () => {
  const { port1, port2 } = new MessageChannel();
  const words = new SharedArrayBuffer(16);
  const host = new BalloonHost(port2, words);
  const heard: BalloonCommand[] = [];
  port1.on('message', (command: BalloonCommand) => {
    heard.push(command);
    if (command.type === 'stats') port1.postMessage(heard.length > 3 ? undefined : { free: 1 });
  });
  host.setTarget(8192n);
  assert.is(host.target, 8192);
  assert.equal(await Promise.all([host.stats(), host.stats()]), [{ free: 1 }, { free: 1 }]);
  assert.equal(heard, [{ type: 'target', bytes: 8192 }, { type: 'stats' }]);
  new BigUint64Array(words).set([5n, 6n]);
  assert.equal([host.actual, host.givenBack], [5, 6]);
  assert.is(await codeOf(() => host.setTarget(1)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => host.setTarget(2 ** 44)), 'ERR_OUT_OF_RANGE');
  await host.stats();
  assert.is(await codeOf(host.stats()), 'ERR_STATE');
  port1.close();
  for (let i = 0; i < 20; i++) await turn();
  assert.is(await codeOf(host.stats()), 'ERR_STATE');
});

test('any chains in any queue: nothing throws, and only whole pages of RAM are given back', () => {
  const part = fc.record({
    write: fc.boolean(),
    at: fc.integer({ min: FREE - 100, max: MEMORY + 100 }),
    length: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 50_000 })),
  });
  const steps = fc.array(fc.record({ queue: fc.nat(4), parts: fc.array(part, { minLength: 1, maxLength: 3 }) }));
  const property = fc.property(steps, fc.integer({ min: 0, max: 0xffff_ffff }), (actions, seed) => {
    using world = new World();
    // What the driver says where pages are listed: numbers of all kinds.
    const words = new Uint32Array(world.memory.view(FREE, 0x1_0000).buffer, FREE, 0x4000);
    for (let i = 0; i < words.length; i++) words[i] = i % 3 === 0 ? 0x300 + (i % 64) : Math.imul(seed, i);
    for (const { queue: index, parts } of actions) {
      if (world.driver.needsReset) world.driver.setUp(ALL, [16, 16, 4, 16, 16]);
      const queue = world.driver.queue(index);
      queue.collect();
      if (queue.room < 3) continue;
      queue.add(
        parts.filter(({ write }) => !write),
        parts.filter(({ write }) => write),
      );
      queue.kick();
    }
    for (const { start, length } of world.ranges) {
      assert.is(start % PAGE, 0);
      assert.is(length % PAGE, 0);
      assert.ok(length > 0 && start + length <= MEMORY);
    }
  });
  fc.assert(property, { numRuns: 200 });
});

test.run();
