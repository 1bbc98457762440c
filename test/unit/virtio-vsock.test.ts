// Stream sockets between an application and a model guest, through the device, the channel and the application's streams: both ways,
// half-close, resets, slow readers on either side, and what does not grow. Without KVM.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CONNECTIONS_MAX, VirtioVsock } from '../../shared/virtio/vsock.ts';
import { BUFFER_BYTES } from '../../shared/virtio/vsock-connection.ts';
import { type VsockCommand, VsockLink } from '../../shared/virtio/vsock-link.ts';
import { OP, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND } from '../../shared/virtio/vsock-packet.ts';
import { VsockHost } from '../../src/main/devices/vsock-host.ts';
import type { VsockSocket } from '../../src/main/devices/vsock-socket.ts';
import { codeOf } from '../errors.ts';
import { CID, type GuestSocket, GuestVsock } from '../vsock-guest.ts';

const test = suite('virtio vsock');
// The application's ports do not keep the process alive: here nothing else would.
const alive = setInterval(() => {}, 60_000);
test.after(() => clearInterval(alive));

class World implements Disposable {
  readonly memory = new KvmMemory(0x10_0000);
  readonly device = new VirtioVsock(CID);
  readonly host: VsockHost;
  readonly guest: GuestVsock;
  readonly #port: MessagePort;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const link = new VsockLink(this.device, (event, transfer) => port1.postMessage(event, transfer));
    port1.on('message', (command: VsockCommand) => link.receive(command));
    this.host = new VsockHost(port2);
    this.guest = new GuestVsock(this.device, this.memory);
  }

  end(): void {
    this.#port.close();
  }

  [Symbol.dispose](): void {
    this.end();
    this.guest.driver.onInterrupt = undefined;
    this.memory[Symbol.dispose]();
  }

  /** A connection from the host to the guest's port 80, as both see it. */
  async pair(): Promise<[VsockSocket, GuestSocket]> {
    const arrived = new Promise<GuestSocket>(resolve => {
      this.guest.onRequest = resolve;
    });
    const socket = quiet(await this.host.connect(80));
    return [socket, await arrived];
  }
}

/** Its errors are looked at where they are expected; at the end of a test the machine ends under those that are left. */
function quiet(socket: VsockSocket): VsockSocket {
  return socket.on('error', () => {});
}

/** Turns of the event loop until `condition` holds; messages between threads take several. */
async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 20_000; i++) {
    if (condition()) return;
    await turn();
  }
  throw new Error(`never: ${what}`);
}

/** Long enough for everything that is under way to have happened. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await turn();
}

const hashOf = (chunks: readonly Uint8Array[]) =>
  chunks.reduce((hash, chunk) => hash.update(chunk), createHash('sha256')).digest('hex');

/** Pieces of random sizes, some larger than any buffer on the way. */
function pieces(total: number): Buffer[] {
  const made: Buffer[] = [];
  for (let left = total; left > 0; ) {
    const size = Math.min(left, 1 + Math.floor(Math.random() ** 4 * 300_000));
    made.push(randomBytes(size));
    left -= size;
  }
  return made;
}

test('the device says the guest’s cid, and refuses one that is none', async () => {
  using world = new World();
  assert.is(world.guest.driver.get(0x100), CID);
  assert.is(world.guest.driver.get(0x104), 0);
  for (const cid of [0, 2, 0xffff_ffff, 3.5]) assert.is(await codeOf(() => new VirtioVsock(cid)), 'ERR_OUT_OF_RANGE');
});

test('a stream from the host: bytes in both directions at once, hash-equal, and an end on each side', async () => {
  using world = new World();
  const [socket, guest] = await world.pair();
  const down = pieces(1_500_000);
  const up = pieces(1_500_000);
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk));
  for (const piece of up) guest.write(piece);
  guest.shutdown(SHUT_SEND);
  for (const piece of down) if (!socket.write(piece)) await once(socket, 'drain');
  socket.end();
  await Promise.all([once(socket, 'close'), until(() => guest.state === 'closed', 'the guest sees the end')]);
  assert.is(hashOf(received), hashOf(up));
  assert.is(hashOf(guest.received), hashOf(down));
  assert.equal(world.guest.driver.faults, []);
});

test('a stream from the guest, to a server that is iterated', async () => {
  using world = new World();
  const server = world.host.listen(5000);
  await settle();
  const guest = world.guest.connect(1234, 5000);
  for await (const socket of server) {
    assert.is(socket.localPort, 5000);
    assert.is(socket.remotePort, 1234);
    guest.write(Buffer.from('ping'));
    const [chunk] = await once(socket, 'data');
    assert.is(String(chunk), 'ping');
    socket.end('pong');
    await until(() => guest.hostShut === SHUT_SEND, 'the half-close');
    assert.is(Buffer.concat(guest.received).toString(), 'pong');
    guest.write(Buffer.from('still'));
    const [more] = await once(socket, 'data');
    assert.is(String(more), 'still', 'the host’s end was half of it');
    guest.shutdown(SHUT_BOTH);
    await once(socket, 'close');
    server.close();
  }
  await until(() => world.guest.sockets.size === 0, 'the end for the guest');
});

test('a callback gets the connections instead; close() refuses further ones and leaves those that there are', async () => {
  using world = new World();
  const sockets: VsockSocket[] = [];
  const server = world.host.listen(5000, socket => sockets.push(quiet(socket)));
  await settle();
  const first = world.guest.connect(1, 5000);
  await until(() => sockets.length === 1, 'a connection');
  server.close();
  await settle();
  const second = world.guest.connect(2, 5000);
  await until(() => second.state === 'closed', 'a refusal');
  assert.is(first.state, 'open');
  first.write(Buffer.from('x'));
  await once(sockets[0] as VsockSocket, 'data');
});

test('errors have codes: nobody listens, no driver, a reset, a write to who has stopped, the end of the machine', async () => {
  const world = new World();
  assert.is(await codeOf(world.host.connect(81)), 'ECONNREFUSED');
  const [reset, guest] = await world.pair();
  guest.send(OP.RST);
  const [error] = await once(reset, 'error');
  assert.is(error.code, 'ECONNRESET');
  const [stopped, deaf] = await world.pair();
  deaf.shutdown(SHUT_RECEIVE);
  await settle();
  stopped.write('x');
  const [pipe] = await once(stopped, 'error');
  assert.is(pipe.code, 'EPIPE');
  const [cut] = await world.pair();
  const server = world.host.listen(9);
  assert.is(await codeOf(() => world.host.listen(9)), 'ERR_STATE');
  assert.is(await codeOf(world.host.connect(-1)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => world.host.listen(2 ** 32 - 1)), 'ERR_OUT_OF_RANGE');
  world.guest.driver.set(0x70, 0);
  assert.is((await once(cut, 'error'))[0].code, 'ECONNRESET');
  assert.is(await codeOf(world.host.connect(80)), 'ECONNREFUSED');
  world.guest.setUp();
  const [late] = await world.pair();
  world.end();
  assert.is((await once(late, 'error'))[0].code, 'ENETDOWN');
  for await (const _ of server) assert.unreachable('the server has ended');
  assert.is(await codeOf(world.host.connect(80)), 'ENETDOWN');
  world[Symbol.dispose]();
});

test('a connection that the guest does not answer ends by the signal; one that it answered does not', async () => {
  using world = new World();
  assert.is(await codeOf(world.host.connect(80, { signal: AbortSignal.abort() })), 'ERR_ABORTED');
  const wrong = { signal: 1 } as unknown as { signal: AbortSignal };
  assert.is(await codeOf(world.host.connect(80, wrong)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(world.host.connect(80, { timeout: 1 } as object)), 'ERR_UNKNOWN_OPTION');

  world.guest.answers = false;
  const silent = world.host.connect(81, { signal: AbortSignal.timeout(5) });
  const error = await silent.catch((thrown: unknown) => thrown);
  assert.is((error as { code: string }).code, 'ERR_ABORTED');
  assert.is((error as { cause: { name: string } }).cause.name, 'TimeoutError');
  await until(() => world.guest.packets.some(({ op }) => op === OP.RST), 'the guest learns of it');

  const later = new AbortController();
  world.guest.onRequest = () => {};
  const socket = quiet(await world.host.connect(80, { signal: later.signal }));
  later.abort();
  await settle();
  assert.not(socket.destroyed);
});

test('what the guest sent before it closed is read to the last byte, then the stream closes', async () => {
  using world = new World();
  const [socket, guest] = await world.pair();
  const sent = randomBytes(200_000);
  guest.write(sent);
  guest.shutdown(SHUT_BOTH);
  await until(() => guest.state === 'closed', 'the confirmation');
  await settle();
  const received: Buffer[] = [];
  for await (const chunk of socket) received.push(chunk as Buffer);
  assert.is(hashOf(received), hashOf([sent]));
  // On Node 24 the loop ends before the stream has been destroyed.
  await until(() => socket.destroyed, 'the close');
});

test('what the host sent before it ended arrives, also when the guest has ended before and reads late', async () => {
  using world = new World();
  const [socket, guest] = await world.pair();
  guest.reads = false;
  guest.shutdown(SHUT_SEND);
  socket.resume();
  await once(socket, 'end');
  const sent = randomBytes(150_000);
  socket.end(sent);
  await settle();
  assert.not(socket.writableFinished, 'it has not left yet');
  guest.reads = true;
  guest.read();
  await once(socket, 'close');
  await until(() => guest.state === 'closed', 'the end');
  assert.is(hashOf(guest.received), hashOf([sent]));
});

test('a slow reader on the host stops the guest at its credit, and gets everything in the end', async () => {
  using world = new World();
  const [socket, guest] = await world.pair();
  const sent = pieces(1_000_000);
  for (const piece of sent) guest.write(piece);
  await settle();
  const sentSoFar = () => world.guest.packets.length;
  const before = sentSoFar();
  await settle();
  assert.is(sentSoFar(), before, 'nothing moves');
  assert.ok(socket.readableLength <= BUFFER_BYTES);
  const received: Buffer[] = [];
  guest.shutdown(SHUT_SEND);
  for await (const chunk of socket) {
    received.push(chunk as Buffer);
    await turn();
  }
  assert.is(hashOf(received), hashOf(sent));
});

test('a slow guest stops the writer, which goes on when it reads', async () => {
  using world = new World();
  const [socket, guest] = await world.pair();
  guest.reads = false;
  const sent = randomBytes(1_000_000);
  let written = false;
  socket.write(sent, () => {
    written = true;
  });
  await settle();
  assert.not(written);
  assert.is(guest.unreadBytes, guest.bufferSize);
  assert.is(world.guest.packets.filter(({ op }) => op === OP.CREDIT_REQUEST).length, 1, 'asked once, not for ever');
  guest.reads = true;
  guest.read();
  await until(() => written, 'the write ends');
  socket.end();
  await until(() => guest.hostShut !== 0, 'the end');
  assert.is(hashOf(guest.received), hashOf([sent]));
});

test('a guest that gives no buffers stops the writer; one that gives them again is served', async () => {
  using world = new World();
  const [socket, guest] = await world.pair();
  world.guest.receives = false;
  const sent = randomBytes(300_000);
  socket.end(sent);
  await settle();
  assert.ok(guest.received.reduce((sum, { length }) => sum + length, 0) < 100_000);
  world.guest.receives = true;
  world.guest.poll();
  await until(() => guest.hostShut !== 0, 'the end');
  assert.is(hashOf(guest.received), hashOf([sent]));
});

test('destroy() before everything has left is a reset; after that it is an orderly end', async () => {
  using world = new World();
  const [hasty, guest] = await world.pair();
  guest.reads = false;
  hasty.write(randomBytes(500_000));
  await settle();
  hasty.on('error', () => {});
  hasty.destroy();
  await until(() => guest.state === 'closed', 'a reset');
  assert.is(guest.hostShut, 0);
  const [calm, other] = await world.pair();
  calm.destroy();
  await until(() => other.state === 'closed', 'an end');
  assert.is(other.hostShut, SHUT_BOTH);
});

test('many small packets reach a stream that nobody reads in a few pieces', async () => {
  using world = new World();
  const [socket, guest] = await world.pair();
  for (let i = 0; i < 5000; i++) guest.write(Uint8Array.of(i & 0xff));
  await settle();
  let chunks = 0;
  let bytes = 0;
  guest.shutdown(SHUT_SEND);
  for await (const chunk of socket) {
    for (const byte of chunk as Buffer) assert.is(byte, bytes++ & 0xff);
    chunks += 1;
  }
  assert.is(bytes, 5000);
  assert.ok(chunks < 100, `${chunks} pieces`);
});

test('connections are limited, also those that the guest has left and the application has not', async () => {
  using world = new World();
  const sockets: VsockSocket[] = [];
  world.host.listen(5000, socket => sockets.push(quiet(socket)));
  await settle();
  // It connects, sends a byte, closes, and does it again: the application does not read.
  for (let port = 0; port < CONNECTIONS_MAX + 10; port++) {
    const guest = world.guest.connect(port, 5000);
    await until(() => guest.state !== 'connecting', 'an answer');
    if (guest.state !== 'open') continue;
    guest.write(Uint8Array.of(1));
    guest.shutdown(SHUT_BOTH);
  }
  await until(() => world.guest.sockets.size === 0, 'all are closed for the guest');
  assert.is(sockets.length, CONNECTIONS_MAX);
  assert.is(await codeOf(world.host.connect(80)), 'ECONNREFUSED');
  for (const socket of sockets) socket.resume();
  await until(() => sockets.every(({ destroyed }) => destroyed), 'all are read');
  await settle();
  await world.pair();
});

test.run();
