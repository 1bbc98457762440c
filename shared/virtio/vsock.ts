// virtio-vsock, the socket device (VIRTIO 1.2, 5.10): stream sockets between ports of the guest's and ports of the host's. Device's
// thread; pure: what stands behind the host's ports is handed in. This file has queues, addresses and limits; vsock-connection.ts one stream.
//
// What a guest can make us keep: CONNECTIONS_MAX connections, each with a bounded buffer, until both sides are done with them; and
// REPLIES_MAX answers to packets that belong to none. Then its packets wait in its own ring until it takes ours.

import { HypervisorError, outOfRange } from '../errors.ts';
import type { Chain } from './chain.ts';
import type { VirtioContext, VirtioDevice } from './device.ts';
import type { Virtqueue } from './queue.ts';
import { type VsockBeginning, VsockConnection, type VsockOwner, type VsockPeer } from './vsock-connection.ts';
import { HEADER, HOST_CID, OP, TYPE_STREAM, VsockHeader } from './vsock-packet.ts';

const SOCKET_DEVICE = 19;
const QUEUE_SIZE = 128;
const EVENT_QUEUE_SIZE = 8;
const RX = 0;
const TX = 1;
const F_STREAM = 1n << 0n;
const GUEST_CID_MIN = 3;
const CID_MAX = 0xffff_fffe;
/** The port that means any. */
const PORT_ANY = 0xffff_ffff;
const EPHEMERAL_FIRST = 0x8000_0000;
export const CONNECTIONS_MAX = 256;
const REPLIES_MAX = 64;
/** Connections that wait for the guest to confirm their end. */
const CLOSING_MAX = 32;

/** Makes the host's end of a connection that the guest has asked for. */
export type VsockAccept = (connection: VsockConnection) => VsockPeer;

/** A RST that is due to somebody without a connection. */
interface Reply {
  readonly hostPort: number;
  readonly guestPort: number;
  readonly type: number;
}

export class VirtioVsock implements VirtioDevice, VsockOwner {
  readonly name = 'virtio-vsock';
  readonly id = SOCKET_DEVICE;
  readonly features = F_STREAM;
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE, EVENT_QUEUE_SIZE];
  readonly #cid: bigint;
  readonly #config = new Uint8Array(8);
  readonly #incoming = new VsockHeader();
  readonly #outgoing = new VsockHeader();
  readonly #listeners = new Map<number, VsockAccept>();
  #others: VsockAccept | undefined;
  readonly #connections = new Map<string, VsockConnection>();
  /** Those that the host's side has not released: the guest's side of some is over. */
  readonly #kept = new Set<VsockConnection>();
  /** Those that may have a packet for the guest, in turn. */
  readonly #ready = new Set<VsockConnection>();
  readonly #closing = new Set<VsockConnection>();
  readonly #replies: Reply[] = [];
  #context: VirtioContext | undefined;
  /** Who adds to what is ready need not send it: the one who is at work will. */
  #busy = false;
  #receivesLater = false;
  #pumpsLater = false;
  #nextPort = EPHEMERAL_FIRST;

  /** `cid`: the guest's address, 3 to 2^32 - 2. @throws RangeError */
  constructor(cid: number) {
    if (!Number.isInteger(cid) || cid < GUEST_CID_MIN || cid > CID_MAX)
      throw outOfRange('cid', 'an integer from 3 to 2^32 - 2', cid);
    this.#cid = BigInt(cid);
    new DataView(this.#config.buffer).setBigUint64(0, this.#cid, true);
  }

  // ── the host's side ──

  /** The guest's connections to `port` are accepted from now on. @throws HypervisorError `ERR_STATE` when somebody listens there */
  listen(port: number, accept: VsockAccept): void {
    if (this.#listeners.has(port)) throw new HypervisorError('ERR_STATE', `port ${port} is listened on already`);
    this.#listeners.set(port, accept);
  }

  /** No more of them; those that there are stay. */
  unlisten(port: number): void {
    this.#listeners.delete(port);
  }

  /** The guest's connections to all other ports wait for `accept()` or `destroy()`, instead of being refused. */
  offer(others: VsockAccept): void {
    this.#others = others;
  }

  /** Asks the guest for a connection to its `port`; undefined where there is no driver, or too many connections. */
  connect(port: number, makePeer: (connection: VsockConnection) => VsockPeer): VsockConnection | undefined {
    if (this.#context === undefined || this.#isFull) return undefined;
    return this.#add({ hostPort: this.#freePort(port), guestPort: port }, 'connecting', makePeer);
  }

  // ── the transport's ──

  config(): Uint8Array {
    return this.#config;
  }

  start(context: VirtioContext): void {
    this.#context = context;
  }

  reset(): void {
    this.#context = undefined;
    this.#replies.length = 0;
    for (const connection of this.#connections.values()) connection.abandon();
  }

  onQueue(queue: Virtqueue): void {
    // Buffers for events stay where they are: the only event is a change of the cid.
    if (queue.index === RX) this.#pump();
    else if (queue.index === TX) this.#receive(queue);
  }

  // ── what connections tell ──

  ready(connection: VsockConnection): void {
    this.#ready.add(connection);
    this.#pump();
  }

  closing(connection: VsockConnection): void {
    this.#closing.add(connection);
    const [oldest] = this.#closing;
    if (this.#closing.size > CLOSING_MAX) oldest?.reset(undefined);
  }

  gone(connection: VsockConnection): void {
    this.#connections.delete(keyOf(connection.hostPort, connection.guestPort));
    this.#ready.delete(connection);
    this.#closing.delete(connection);
  }

  released(connection: VsockConnection): void {
    this.#kept.delete(connection);
  }

  // ── from the guest ──

  #receive(queue: Virtqueue): void {
    let turns = queue.size;
    this.#busy = true;
    for (; turns > 0 && this.#replies.length < REPLIES_MAX; turns--) {
      const chain = queue.take();
      if (chain === undefined) break;
      if (this.#incoming.load(chain)) this.#route(this.#incoming, chain);
      else this.#context?.fault('a socket packet without its header, or shorter than it says');
      queue.put(chain, 0);
    }
    this.#busy = false;
    queue.signal();
    this.#pump();
    if (turns === 0) this.#receiveLater();
  }

  /** Others have their turn. Where replies are in the way, the pump comes back here. After a reset it is another queue, or none. */
  #receiveLater(): void {
    if (this.#receivesLater) return;
    this.#receivesLater = true;
    setImmediate(() => {
      this.#receivesLater = false;
      const queue = this.#context?.queue(TX);
      if (queue !== undefined) this.#receive(queue);
    });
  }

  /** Both sides count: the host is done at once with a connection whose guest takes no packets, not even the RST that ends it. */
  get #isFull(): boolean {
    return this.#kept.size >= CONNECTIONS_MAX || this.#connections.size >= CONNECTIONS_MAX;
  }

  #route(header: VsockHeader, chain: Chain): void {
    // Not from this guest, or not to this host: nobody's.
    if (header.sourceCid !== this.#cid || header.targetCid !== BigInt(HOST_CID)) return;
    const { sourcePort: guestPort, targetPort: hostPort, type, op } = header;
    const connection = type === TYPE_STREAM ? this.#connections.get(keyOf(hostPort, guestPort)) : undefined;
    if (connection !== undefined) {
      connection.receive(header, chain);
      return;
    }
    const asks = type === TYPE_STREAM && op === OP.REQUEST && !this.#isFull;
    const listener = this.#listeners.get(hostPort);
    const accept = asks ? (listener ?? this.#others) : undefined;
    if (accept !== undefined) {
      this.#add({ hostPort, guestPort }, listener === undefined ? 'asked' : 'open', accept).grant(header);
    } else if (op !== OP.RST) this.#replies.push({ hostPort, guestPort, type });
  }

  // ── to the guest ──

  /**
   * Sends while there is something to send and a buffer for it. Connections take turns, packet by packet; and so do devices: a guest that
   * gives small buffers as fast as they are filled does not keep the thread.
   */
  #pump(): void {
    const queue = this.#context?.queue(RX);
    if (queue === undefined || this.#busy) return;
    const wasFull = this.#replies.length >= REPLIES_MAX;
    let turns = queue.size;
    this.#busy = true;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const chain = turns > 0 ? queue.take() : undefined;
      if (chain === undefined) break;
      turns -= 1;
      if (chain.writableLength <= HEADER) {
        this.#context?.fault('a buffer for socket packets without room for a payload');
        break;
      }
      queue.put(chain, this.#send(next, chain));
    }
    this.#busy = false;
    queue.signal();
    if (turns === 0) this.#pumpLater();
    if (wasFull && this.#replies.length < REPLIES_MAX) this.#receiveLater();
  }

  #pumpLater(): void {
    if (this.#pumpsLater) return;
    this.#pumpsLater = true;
    setImmediate(() => {
      this.#pumpsLater = false;
      this.#pump();
    });
  }

  #next(): Reply | VsockConnection | undefined {
    const [reply] = this.#replies;
    if (reply !== undefined) return reply;
    for (const connection of this.#ready) {
      if (connection.hasPacket()) return connection;
      this.#ready.delete(connection);
    }
    return undefined;
  }

  #send(next: Reply | VsockConnection, chain: Chain): number {
    const header = this.#outgoing;
    header.sourceCid = BigInt(HOST_CID);
    header.targetCid = this.#cid;
    header.sourcePort = next.hostPort;
    header.targetPort = next.guestPort;
    if (next instanceof VsockConnection) {
      this.#ready.delete(next);
      header.type = TYPE_STREAM;
      this.#ready.add(next);
      return next.fill(header, chain);
    }
    this.#replies.shift();
    header.type = next.type;
    header.op = OP.RST;
    header.length = 0;
    header.flags = 0;
    header.bufferSize = 0;
    header.forwarded = 0;
    header.store(chain);
    return HEADER;
  }

  #add(
    ports: { readonly hostPort: number; readonly guestPort: number },
    beginning: VsockBeginning,
    makePeer: (connection: VsockConnection) => VsockPeer,
  ): VsockConnection {
    const connection = new VsockConnection(ports, beginning, this, makePeer);
    this.#connections.set(keyOf(ports.hostPort, ports.guestPort), connection);
    this.#kept.add(connection);
    connection.begin();
    return connection;
  }

  /** A port of ours that no connection to the guest's port has: there are more ports than connections. */
  #freePort(guestPort: number): number {
    for (;;) {
      const port = this.#nextPort;
      this.#nextPort = port + 1 === PORT_ANY ? EPHEMERAL_FIRST : port + 1;
      if (!this.#connections.has(keyOf(port, guestPort)) && !this.#listeners.has(port)) return port;
    }
  }
}

function keyOf(hostPort: number, guestPort: number): string {
  return `${hostPort}:${guestPort}`;
}
