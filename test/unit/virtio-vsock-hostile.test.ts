// Packets that no driver sends: to the socket device alone, with peers that only count. Nothing throws out of it, nothing grows
// without bound, and every rule that was broken has an answer: a RST, silence, or a device that needs a reset. Without KVM.

import fc from 'fast-check';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CONNECTIONS_MAX, VirtioVsock } from '../../shared/virtio/vsock.ts';
import { BUFFER_BYTES, type VsockConnection, type VsockPeer } from '../../shared/virtio/vsock-connection.ts';
import { HEADER, OP } from '../../shared/virtio/vsock-packet.ts';
import { CID, encode, GuestVsock, type Packet, type PacketFields } from '../vsock-guest.ts';

const test = suite('virtio vsock, hostile guests');

/** A host's end that keeps what it gets, and says what it was told. */
class Counting implements VsockPeer {
  readonly connection: VsockConnection;
  readonly told: string[] = [];
  /** Bytes that it has got, and the sizes of the pieces that it has not taken yet. */
  bytes = 0;
  pieces = 0;
  readonly waiting: number[] = [];

  constructor(connection: VsockConnection) {
    this.connection = connection;
  }

  connected(): void {
    this.told.push('connected');
  }

  data(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    this.pieces += 1;
    this.waiting.push(bytes.length);
  }

  /** Takes a piece; false when there is none. */
  take(): boolean {
    const bytes = this.waiting.shift();
    if (bytes !== undefined) this.connection.consumed(bytes);
    return bytes !== undefined;
  }

  sent(): void {}

  ended(): void {
    this.told.push('ended');
  }

  stopped(): void {
    this.told.push('stopped');
  }

  closed(failure: string | undefined): void {
    this.told.push(`closed ${failure}`);
  }
}

class World implements Disposable {
  readonly memory = new KvmMemory(0x10_0000);
  readonly device = new VirtioVsock(CID);
  readonly guest = new GuestVsock(this.device, this.memory);
  readonly peers: Counting[] = [];

  constructor() {
    // Packets are looked at by the tests, turn by turn.
    this.guest.driver.onInterrupt = undefined;
    this.guest.answers = false;
    this.device.listen(5000, connection => this.peer(connection));
  }

  peer(connection: VsockConnection): Counting {
    const peer = new Counting(connection);
    this.peers.push(peer);
    return peer;
  }

  /** What the host answers to these packets. */
  answers(...packets: PacketFields[]): Packet[] {
    const before = this.guest.packets.length;
    for (const packet of packets) this.guest.send(packet);
    this.guest.poll();
    return this.guest.packets.slice(before);
  }

  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
  }
}

const ops = (packets: readonly Packet[]) => packets.map(({ op }) => op);

test('packets for ports where nobody is are answered by one RST each, and a RST by nothing', () => {
  using world = new World();
  for (const op of [OP.REQUEST, OP.RESPONSE, OP.SHUTDOWN, OP.RW, OP.CREDIT_UPDATE, OP.CREDIT_REQUEST, 0, 8, 0xffff]) {
    const [answer, ...more] = world.answers({ op, sourcePort: 11, targetPort: 22 });
    assert.equal([answer?.op, answer?.sourcePort, answer?.targetPort, more.length], [OP.RST, 22, 11, 0], `op ${op}`);
  }
  assert.equal(world.answers({ op: OP.RST, targetPort: 22 }), []);
});

test('another type of socket is answered by a RST of that type, on a port that is listened on, too', () => {
  using world = new World();
  const [answer] = world.answers({ op: OP.REQUEST, type: 2 });
  assert.equal([answer?.op, answer?.type], [OP.RST, 2]);
  assert.is(world.peers.length, 0);
});

test('a foreign cid, as source or target, is nobody’s', () => {
  using world = new World();
  for (const cid of [0n, 1n, 2n, 8n, BigInt(CID) + (1n << 32n), (1n << 64n) - 1n])
    assert.equal(world.answers({ op: OP.REQUEST, sourceCid: cid }), []);
  for (const cid of [0n, 1n, 3n, BigInt(CID), 2n + (1n << 32n)])
    assert.equal(world.answers({ op: OP.REQUEST, targetCid: cid }), []);
  assert.not(world.guest.driver.needsReset);
});

test('a second REQUEST, an unknown op, an answer that nobody waits for end a connection', () => {
  for (const op of [OP.REQUEST, OP.RESPONSE, 0, 8, 0xffff]) {
    using world = new World();
    assert.equal(ops(world.answers({ op: OP.REQUEST })), [OP.RESPONSE]);
    assert.equal(ops(world.answers({ op })), [OP.RST]);
    assert.equal(world.peers[0]?.told, ['closed ECONNRESET']);
    assert.equal(ops(world.answers({ op: OP.RW, payload: Uint8Array.of(1) })), [OP.RST], 'it is forgotten');
  }
});

test('a RESPONSE to a REQUEST that has not been sent is none', () => {
  using world = new World();
  world.guest.receives = false;
  // All buffers are used up by RSTs: the REQUEST stays here.
  world.answers(...Array.from({ length: 16 }, () => ({ op: OP.RW, targetPort: 9 })));
  world.device.connect(80, connection => world.peer(connection));
  const { hostPort = 0 } = world.peers[0]?.connection ?? {};
  world.answers({ op: OP.RESPONSE, sourcePort: 80, targetPort: hostPort });
  assert.equal(world.peers[0]?.told, ['closed ECONNRESET']);
});

test('data beyond the credit ends the connection; up to it, it does not', () => {
  using world = new World();
  world.answers({ op: OP.REQUEST });
  const payload = new Uint8Array(4096);
  for (let i = 0; i < BUFFER_BYTES / 4096; i++) assert.equal(world.answers({ op: OP.RW, payload }), []);
  assert.equal(ops(world.answers({ op: OP.RW, payload: Uint8Array.of(1) })), [OP.RST]);
  assert.equal(world.peers[0]?.told, ['closed ECONNRESET']);
});

test('data after the guest’s own end is a violation, not data', () => {
  using world = new World();
  world.answers({ op: OP.REQUEST });
  world.answers({ op: OP.SHUTDOWN, flags: 2 });
  assert.equal(ops(world.answers({ op: OP.RW, payload: Uint8Array.of(1) })), [OP.RST]);
  assert.equal(world.peers[0]?.told, ['ended', 'closed ECONNRESET']);
  assert.is(world.peers[0]?.bytes, 0);
});

test('a credit that is wrong sends nothing: more taken than sent, no room, room beyond the counters', () => {
  for (const credit of [{ forwarded: 1 }, { forwarded: 50_000 }, { bufferSize: 0 }]) {
    using world = new World();
    world.answers({ op: OP.REQUEST, ...credit, bufferSize: credit.bufferSize ?? 65536 });
    world.peers[0]?.connection.send(new Uint8Array(100));
    world.guest.poll();
    const answers = world.answers({ op: OP.CREDIT_UPDATE, bufferSize: 65536, ...credit });
    assert.equal(answers, []);
    assert.equal(ops(world.answers({ op: OP.CREDIT_UPDATE })), [OP.RW], 'it goes on when it is right again');
  }
});

test('lengths that do not fit the chain, and chains without a header or a payload’s room, need a reset', () => {
  const bad: [string, (world: World) => void][] = [
    ['longer than the chain', world => world.guest.send({ op: OP.RW, length: 1 })],
    ['the longest', world => world.guest.send({ op: OP.RW, length: 0xffff_ffff, payload: new Uint8Array(64) })],
    ['no header', world => world.guest.sendBytes(encode({ op: OP.RST }).subarray(0, HEADER - 1))],
  ];
  for (const [name, send] of bad) {
    using world = new World();
    send(world);
    assert.ok(world.guest.driver.needsReset, name);
    assert.is(world.guest.driver.faults.length, 1);
  }
  using world = new World();
  const { driver } = world.guest;
  driver.setUp(1n, [1, 16, 0]);
  const rx = driver.queue(0);
  rx.add([], [rx.buffer(0, HEADER)]);
  rx.kick();
  world.guest.send({ op: OP.REQUEST });
  assert.ok(driver.needsReset, 'a buffer for headers alone');
});

test('packets that wait for an answer stay in the ring: replies do not pile up', () => {
  using world = new World();
  world.guest.receives = false;
  for (let i = 0; i < 1000; i++) world.guest.send({ op: OP.RW, targetPort: i });
  const taken = 1000 - world.guest.driver.queue(1).collect().length;
  assert.ok(taken > 0);
  // 16 buffers, 64 replies kept, 16 in the ring: the driver itself keeps the rest.
  world.guest.poll();
  assert.is(world.guest.packets.length, 16);
});

test('a guest that asks for credit again and again is owed one answer', () => {
  using world = new World();
  world.guest.receives = false;
  world.answers({ op: OP.REQUEST });
  for (let i = 0; i < 500; i++) world.guest.send({ op: OP.CREDIT_REQUEST });
  world.guest.poll();
  const before = world.guest.packets.length;
  world.guest.receives = true;
  world.guest.poll();
  world.guest.poll();
  assert.ok(world.guest.packets.length - before <= 1);
});

test('pieces that the host has not taken are gathered: few, and no more than the credit', () => {
  using world = new World();
  world.answers({ op: OP.REQUEST });
  for (let i = 0; i < 3000; i++) world.guest.send({ op: OP.RW, payload: Uint8Array.of(i & 0xff) });
  const [peer] = world.peers as [Counting];
  assert.ok(peer.pieces <= 8);
  while (peer.take());
  assert.is(peer.bytes, 3000);
  assert.ok(peer.pieces < 20);
});

const cid = fc.oneof({ weight: 20, arbitrary: fc.constant(BigInt(CID)) }, { weight: 1, arbitrary: fc.bigInt(0n, 9n) });
const hostCid = fc.oneof({ weight: 20, arbitrary: fc.constant(2n) }, { weight: 1, arbitrary: fc.bigInt(0n, 9n) });
const u32 = fc.oneof(
  fc.constantFrom(0, 1, 4096, 65536, 0x7fff_ffff, 0xffff_ffff),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);
const packet = fc.record(
  {
    op: fc.oneof({ weight: 12, arbitrary: fc.integer({ min: 1, max: 7 }) }, { weight: 1, arbitrary: fc.nat(0xffff) }),
    sourceCid: cid,
    targetCid: hostCid,
    sourcePort: fc.integer({ min: 1000, max: 1003 }),
    targetPort: fc.constantFrom(5000, 5000, 5000, 5001, 0x8000_0000, 0x8000_0001),
    type: fc.oneof({ weight: 20, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(3) }),
    flags: fc.oneof(fc.integer({ min: 0, max: 3 }), u32),
    bufferSize: u32,
    forwarded: u32,
    payload: fc.uint8Array({ maxLength: 600 }),
  },
  { requiredKeys: ['op'] },
);
const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('send' as const), packet }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('raw' as const), bytes: fc.uint8Array({ minLength: 1, maxLength: 90 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('poll' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('hold' as const), receives: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('connect' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('host-send', 'host-end', 'host-destroy', 'host-take'),
      which: fc.nat(9),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reset' as const) }) },
);

test('any packets in any order: nothing throws, peers hear of a connection in order and of its end once', () => {
  const property = fc.property(fc.array(step, { minLength: 30, maxLength: 200 }), steps => {
    using world = new World();
    for (const action of steps) {
      // A device that needs a reset gets one, sooner or later.
      if (world.guest.driver.needsReset || action.do === 'reset') world.guest.setUp();
      if (action.do === 'send') world.guest.send(action.packet);
      else if (action.do === 'raw') world.guest.sendBytes(action.bytes);
      else if (action.do === 'poll') world.guest.poll();
      else if (action.do === 'hold') world.guest.receives = action.receives;
      else if (action.do === 'connect') world.device.connect(1000, connection => world.peer(connection));
      else if ('which' in action) {
        const peer = world.peers[action.which % Math.max(1, world.peers.length)];
        if (action.do === 'host-send') peer?.connection.send(new Uint8Array(5000));
        else if (action.do === 'host-end') peer?.connection.end();
        else if (action.do === 'host-destroy') peer?.connection.destroy();
        else peer?.take();
      }
    }
    world.guest.receives = true;
    world.guest.setUp();
    // An orderly end is told behind the last piece.
    for (const peer of world.peers) while (peer.take());
    assert.ok(world.peers.length <= CONNECTIONS_MAX);
    for (const { told, waiting } of world.peers) {
      assert.ok(waiting.length <= 8);
      const last = told.at(-1) ?? '';
      assert.ok(told.filter(each => each.startsWith('closed')).length <= 1, String(told));
      assert.ok(!told.slice(0, -1).some(each => each.startsWith('closed')), String(told));
      assert.is(new Set(told).size, told.length, 'each is told once');
      assert.ok(last.startsWith('closed'), `after the reset it is over: ${told}`);
    }
  });
  fc.assert(property, { numRuns: 300 });
});

test.run();
