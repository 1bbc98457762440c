// A machine's sockets as UNIX sockets of the host's, with a model guest: both ways, what is refused, half-closes, and what remains. Without KVM.

import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VirtioVsock } from '../../shared/virtio/vsock.ts';
import { type VsockCommand, VsockLink } from '../../shared/virtio/vsock-link.ts';
import { OP, SHUT_SEND } from '../../shared/virtio/vsock-packet.ts';
import { VsockHost } from '../../src/main/devices/vsock-host.ts';
import { VsockUnix } from '../../src/main/devices/vsock-unix.ts';
import { codeOf } from '../errors.ts';
import { CID, type GuestSocket, GuestVsock } from '../vsock-guest.ts';

const test = suite('vsock by unix sockets');
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-vsock-'));
test.after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'v.sock');

/** A guest, and the UNIX socket before it. */
class World implements AsyncDisposable {
  readonly memory = new KvmMemory(0x10_0000);
  readonly device = new VirtioVsock(CID);
  readonly channel = new MessageChannel();
  readonly host = new VsockHost(this.channel.port2);
  readonly guest: GuestVsock;
  unix: VsockUnix | undefined;

  private constructor() {
    const { port1 } = this.channel;
    const link = new VsockLink(this.device, (event, transfer) => port1.postMessage(event, transfer));
    port1.on('message', (command: VsockCommand) => link.receive(command));
    this.guest = new GuestVsock(this.device, this.memory);
  }

  static async open(): Promise<World> {
    const world = new World();
    world.unix = await VsockUnix.open(world.host, path);
    // As when a machine starts: its device has heard of it before its guest can connect.
    for (let i = 0; i < 50; i++) await turn();
    return world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unix?.[Symbol.asyncDispose]();
    this.channel.port1.close();
    this.guest.driver.onInterrupt = undefined;
    this.memory[Symbol.dispose]();
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 50_000; i++) {
    if (condition()) return;
    await turn();
  }
  throw new Error(`never: ${what}`);
}

/** A program of the host's: connected, with everything that it hears. */
function program(): { socket: Socket; heard: () => string; ended: Promise<unknown> } {
  const socket = createConnection({ path, allowHalfOpen: true });
  let text = '';
  socket.setEncoding('utf8').on('data', chunk => {
    text += chunk;
  });
  return { socket, heard: () => text, ended: once(socket, 'end') };
}

const textOf = (socket: GuestSocket) => Buffer.concat(socket.received).toString();

test('CONNECT reaches a port of the guest: OK, bytes both ways, an end for each direction', async () => {
  await using world = await World.open();
  const arrived = new Promise<GuestSocket>(resolve => {
    world.guest.onRequest = resolve;
  });
  const { socket, heard, ended } = program();
  socket.write('CONN');
  await turn();
  // What comes right behind the line is the guest's.
  socket.write('ECT 80\nhello');
  const guest = await arrived;
  assert.is(guest.guestPort, 80);
  await until(() => textOf(guest) === 'hello', 'the first bytes');
  assert.is(heard(), `OK ${guest.hostPort}\n`);
  socket.end(' there');
  await until(() => guest.hostShut === SHUT_SEND, 'the end of one direction');
  assert.is(textOf(guest), 'hello there');
  guest.write(Buffer.from('still here'));
  guest.shutdown(SHUT_SEND);
  await ended;
  assert.is(heard(), `OK ${guest.hostPort}\nstill here`);
});

for (const [name, line] of [
  ['a port that nobody listens on', 'CONNECT 81\n'],
  ['another word', 'HELLO 80\n'],
  ['no number', 'CONNECT eighty\n'],
  ['a number that is no port', 'CONNECT 4294967295\n'],
  ['a line without an end', 'CONNECT 80'.padEnd(64)],
] as const) {
  test(`${name}: closed without an OK`, async () => {
    await using world = await World.open();
    world.guest.onRequest = name === 'a port that nobody listens on' ? undefined : () => assert.unreachable();
    const { socket, heard, ended } = program();
    socket.write(line);
    await ended;
    assert.is(heard(), '');
    socket.destroy();
  });
}

test('the guest connects to a port of the host: the UNIX socket with that number', async () => {
  await using world = await World.open();
  const server = createServer({ allowHalfOpen: true });
  server.listen(`${path}_5000`);
  await once(server, 'listening');
  const connected = once(server, 'connection');
  const guest = world.guest.connect(1234, 5000);
  const [socket] = (await connected) as [Socket];
  await until(() => guest.state === 'open', 'the guest is connected');
  guest.write(Buffer.from('ping'));
  assert.is(String((await once(socket, 'data'))[0]), 'ping');
  socket.end('pong');
  await until(() => guest.hostShut === SHUT_SEND, 'the end');
  assert.is(textOf(guest), 'pong');
  guest.shutdown(SHUT_SEND);
  await once(socket, 'end');
  server.close();
});

test('nobody at that UNIX socket: the guest is refused, without having been connected', async () => {
  await using world = await World.open();
  const guest = world.guest.connect(1234, 5001);
  await until(() => guest.state === 'closed', 'the refusal');
  assert.equal(
    world.guest.packets.map(({ op }) => op),
    [OP.RST],
  );
});

test('a port that the application listens on is the application’s', async () => {
  await using world = await World.open();
  const server = world.host.listen(5002);
  const guest = world.guest.connect(1234, 5002);
  for await (const socket of server) {
    guest.write(Buffer.from('ping'));
    assert.is(String((await once(socket, 'data'))[0]), 'ping');
    socket.destroy();
    break;
  }
  server.close();
});

test('a path that is taken, or too long, is refused; at the end the file is gone and the programs are cut off', async () => {
  writeFileSync(`${path}.file`, '');
  const { port1, port2 } = new MessageChannel();
  const host = new VsockHost(port2);
  assert.is(await codeOf(() => VsockUnix.open(host, `${path}.file`)), 'EADDRINUSE');
  assert.is(await codeOf(() => VsockUnix.open(host, `/tmp/${'x'.repeat(92)}`)), 'ERR_OUT_OF_RANGE');
  port1.close();
  assert.ok(existsSync(`${path}.file`));

  const world = await World.open();
  assert.ok(existsSync(path));
  world.guest.onRequest = () => {};
  const { socket, heard, ended } = program();
  socket.write('CONNECT 80\n');
  await until(() => heard().startsWith('OK'), 'the connection');
  await world[Symbol.asyncDispose]();
  await ended;
  assert.not(existsSync(path));
});

test.run();
