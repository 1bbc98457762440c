// The network device over a model driver, cables in the process and a Unix socket of frames: what goes in comes out, and what
// nobody takes is dropped and counted. Without KVM.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import fc from 'fast-check';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NET_F, NET_HEADER, type NetBackend, VirtioNet } from '../../shared/virtio/net.ts';
import { FRAMES_MAX, FramePort } from '../../src/devices/frame-port.ts';
import { FrameSocket } from '../../src/devices/frame-socket.ts';
import { NetLink } from '../../src/main/devices/net-link.ts';
import { codeOf } from '../errors.ts';
import { QueuesDriver } from '../virtio-queues.ts';

const test = suite('virtio net');
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 7);
const BUFFER = 2048;

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 20_000; i++) {
    if (condition()) return;
    await turn();
  }
  throw new Error(`never: ${what}`);
}

/** A frame whose bytes say its number. */
const frameOf = (number: number, length = 60) => new Uint8Array(length).fill(number & 0xff);

/** A guest with a network card. */
class Guest implements Disposable {
  readonly memory = new KvmMemory(0x10_0000);
  readonly device: VirtioNet;
  readonly driver: QueuesDriver;
  readonly received: Uint8Array[] = [];

  constructor(backend: NetBackend, buffers = 64) {
    this.device = new VirtioNet({ mac: MAC, mtu: 1500 }, backend);
    this.driver = new QueuesDriver(this.device, this.memory).setUp(NET_F.MAC | NET_F.MTU, [64, 64]);
    for (let i = 0; i < buffers; i++) this.give();
  }

  give(): void {
    const rx = this.driver.queue(0);
    rx.add([], [rx.buffer(rx.nextId, BUFFER)]);
    rx.kick();
  }

  /** What came since the last time; its buffers are given back. */
  poll(): Uint8Array[] {
    const rx = this.driver.queue(0);
    const frames = rx.collect().map(({ id, length }) => {
      const bytes = new Uint8Array(length);
      this.memory.read(rx.buffer(id, BUFFER).at, bytes);
      assert.equal([...bytes.subarray(0, NET_HEADER)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
      return bytes.subarray(NET_HEADER);
    });
    for (const _ of frames) this.give();
    this.received.push(...frames);
    return frames;
  }

  send(frame: Uint8Array): void {
    const tx = this.driver.queue(1);
    tx.collect();
    const place = tx.buffer(tx.nextId, BUFFER);
    this.memory.memset(place.at, 0xee, NET_HEADER);
    this.memory.write(place.at + NET_HEADER, frame);
    tx.add([{ at: place.at, length: NET_HEADER + frame.length }], []);
    tx.kick();
  }

  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
  }
}

/** Keeps what it gets, up to a number. */
class Box implements NetBackend {
  readonly frames: Uint8Array[] = [];
  room = 1000;
  onFrame: ((frame: Uint8Array) => boolean) | undefined;

  send(frame: Uint8Array<ArrayBuffer>): boolean {
    if (this.frames.length >= this.room) return false;
    this.frames.push(frame);
    return true;
  }

  close(): void {}
}

test('the configuration says address and MTU; what cannot be is refused', async () => {
  using guest = new Guest(new Box());
  const bytes = [0, 1, 2, 3, 4, 5].map(i => Number(guest.driver.mmio.read(0x100 + i, 1)));
  assert.equal(bytes, [...MAC]);
  assert.is(guest.driver.mmio.read(0x10a, 2), 1500);
  const make = (mac: Uint8Array, mtu: number) => codeOf(() => new VirtioNet({ mac, mtu }, new Box()));
  assert.is(await make(Uint8Array.of(1, 0, 0, 0, 0, 1), 1500), 'ERR_OUT_OF_RANGE');
  assert.is(await make(MAC.subarray(1), 1500), 'ERR_OUT_OF_RANGE');
  assert.is(await make(MAC, 67), 'ERR_OUT_OF_RANGE');
});

test('frames go out without their header, and come in behind one', () => {
  const box = new Box();
  using guest = new Guest(box);
  guest.send(frameOf(1, 14));
  guest.send(frameOf(2, 1514));
  assert.equal(box.frames, [frameOf(1, 14), frameOf(2, 1514)]);
  assert.ok(box.onFrame?.(frameOf(3, 1518)));
  assert.ok(box.onFrame?.(frameOf(4, 14)));
  assert.equal(guest.poll(), [frameOf(3, 1518), frameOf(4, 14)]);
  assert.equal(guest.device.counters, { sent: 2, received: 2, sentDropped: 0, receivedDropped: 0, malformed: 0 });
});

test('what nobody takes is dropped and counted: no buffer, no room, too long, too short', () => {
  const box = new Box();
  using guest = new Guest(box, 1);
  box.room = 1;
  guest.send(frameOf(1));
  guest.send(frameOf(2));
  guest.send(frameOf(3, 1519));
  guest.send(frameOf(4, 13));
  assert.ok(box.onFrame?.(frameOf(5)));
  assert.not(box.onFrame?.(frameOf(6)));
  assert.not(box.onFrame?.(frameOf(7, 1519)));
  assert.not(box.onFrame?.(frameOf(8, 13)));
  assert.equal(guest.device.counters, { sent: 1, received: 1, sentDropped: 1, receivedDropped: 3, malformed: 2 });
  assert.not(guest.driver.needsReset);
});

test('a buffer that is too small for one frame has the next one', () => {
  const box = new Box();
  using guest = new Guest(box, 0);
  const rx = guest.driver.queue(0);
  rx.add([], [{ ...rx.buffer(0, BUFFER), length: 100 }]);
  assert.not(box.onFrame?.(frameOf(1, 200)));
  assert.ok(box.onFrame?.(frameOf(2, 60)));
  assert.equal(
    rx.collect().map(({ length }) => length),
    [72],
  );
});

test('a header that is cut short, a buffer that holds no frame: the device needs a reset', () => {
  const box = new Box();
  using guest = new Guest(box, 0);
  const tx = guest.driver.queue(1);
  tx.add([{ ...tx.buffer(0, BUFFER), length: NET_HEADER - 1 }], []);
  tx.kick();
  assert.ok(guest.driver.needsReset);
  guest.driver.setUp(0n, [4, 4]);
  const rx = guest.driver.queue(0);
  rx.add([], [{ ...rx.buffer(0, BUFFER), length: 20 }]);
  assert.not(box.onFrame?.(frameOf(1)));
  assert.ok(guest.driver.needsReset);
});

test('after a reset frames have nowhere to go, until the driver is back', () => {
  const box = new Box();
  using guest = new Guest(box);
  guest.driver.set(0x70, 0);
  assert.not(box.onFrame?.(frameOf(1)));
  guest.driver.setUp(0n, [4, 4]);
  guest.give();
  assert.ok(box.onFrame?.(frameOf(2)));
});

test('two machines on one cable', async () => {
  const { port1, port2 } = new MessageChannel();
  const ends = [new FramePort(port1), new FramePort(port2)] as const;
  using left = new Guest(ends[0]);
  using right = new Guest(ends[1]);
  for (let i = 0; i < 500; i++) {
    left.send(frameOf(i, 14 + i));
    right.send(frameOf(i + 1, 100));
    await turn();
    left.poll();
    right.poll();
  }
  await until(() => left.poll().length + right.poll().length === 0 && right.received.length === 500, 'all arrive');
  assert.equal(
    right.received,
    Array.from({ length: 500 }, (_, i) => frameOf(i, 14 + i)),
  );
  assert.is(left.received.length, 500);
  port1.close();
});

test('the application’s end: frames as a stream, and a reader that is too slow loses some', async () => {
  const { port1, port2 } = new MessageChannel();
  using guest = new Guest(new FramePort(port1));
  const link = new NetLink(port2);
  link.write(frameOf(9));
  await until(() => guest.poll().length === 1, 'a frame');
  assert.equal(guest.received, [frameOf(9)]);
  for (let i = 0; i < 3 * FRAMES_MAX; i++) {
    guest.send(frameOf(i));
    if (i % 16 === 0) await turn();
  }
  await until(() => guest.device.counters.sent + guest.device.counters.sentDropped === 3 * FRAMES_MAX, 'all are sent');
  const { sent, sentDropped } = guest.device.counters;
  assert.ok(sentDropped > 0 && sent <= FRAMES_MAX + 64, `${sent} sent, ${sentDropped} dropped`);
  const read: Buffer[] = [];
  link.on('data', (frame: Buffer) => read.push(frame));
  await until(() => read.length === sent, 'those that were sent');
  assert.equal(new Uint8Array(read[5] as Buffer), frameOf(5));
  guest.send(frameOf(200));
  await until(() => read.length === sent + 1, 'it goes on');
  assert.is(await codeOf(new Promise((_, reject) => link.once('error', reject).write('text'))), 'ERR_INVALID_ARG_TYPE');
  port1.close();
});

test('a Unix socket of frames, as QEMU’s stream netdev has it: both ways, in pieces, and what is none ends it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-net-'));
  const path = join(folder, 'frames');
  const peers: Socket[] = [];
  const server = createServer(socket => peers.push(socket));
  await new Promise<void>(resolve => server.listen(path, resolve));
  try {
    assert.is(await codeOf(FrameSocket.open(join(folder, 'nobody'))), 'ENOENT');
    const backend = await FrameSocket.open(path);
    using guest = new Guest(backend);
    await until(() => peers.length === 1, 'a connection');
    const [peer] = peers as [Socket];
    const heard: Buffer[] = [];
    let ended = false;
    peer.on('data', chunk => heard.push(chunk));
    peer.on('close', () => {
      ended = true;
    });
    guest.send(frameOf(1, 20));
    await until(() => heard.length > 0, 'the guest’s frame');
    assert.equal(new Uint8Array(Buffer.concat(heard)), Uint8Array.of(0, 0, 0, 20, ...frameOf(1, 20)));
    const stream = Buffer.concat(
      [30, 1000, 14].flatMap(size => [Buffer.from([0, 0, size >> 8, size]), frameOf(size, size)]),
    );
    for (let at = 0; at < stream.length; at += 7) {
      peer.write(stream.subarray(at, at + 7));
      if (at % 70 === 0) await turn();
    }
    await until(() => guest.poll().length >= 0 && guest.received.length === 3, 'three frames');
    assert.equal(guest.received, [frameOf(30, 30), frameOf(1000, 1000), frameOf(14, 14)]);
    peer.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 1]));
    await until(() => ended, 'the end of what is no stream of frames');
    guest.send(frameOf(2));
    assert.is(guest.device.counters.sentDropped, 1);
  } finally {
    for (const peer of peers) peer.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  }
});

test('any chains: nothing throws, and what was made of them is a frame, a count, or the need for a reset', () => {
  const segments = fc.array(fc.record({ write: fc.boolean(), length: fc.integer({ min: 1, max: 1700 }) }), {
    minLength: 1,
    maxLength: 3,
  });
  const property = fc.property(fc.array(fc.record({ queue: fc.nat(1), segments, frame: fc.nat(1600) })), steps => {
    const box = new Box();
    using guest = new Guest(box, 0);
    let chains = 0;
    for (const { queue: index, segments: parts, frame } of steps) {
      if (guest.driver.needsReset) guest.driver.setUp(0n, [64, 64]);
      const queue = guest.driver.queue(index);
      queue.collect();
      if (queue.room < 3) continue;
      const at = (i: number) => queue.buffer(i, BUFFER).at;
      queue.add(
        parts.filter(({ write }) => !write).map(({ length }, i) => ({ at: at(i), length })),
        parts.filter(({ write }) => write).map(({ length }, i) => ({ at: at(8 + i), length })),
      );
      chains += index;
      queue.kick();
      box.onFrame?.(new Uint8Array(frame));
    }
    const { sent, malformed } = guest.device.counters;
    assert.ok(sent + malformed <= chains);
    assert.ok(box.frames.every(({ length }) => length >= 14 && length <= 1518));
  });
  fc.assert(property, { numRuns: 200 });
});

test.run();
