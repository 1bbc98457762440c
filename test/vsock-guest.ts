// A model of a guest's socket driver, over the queues of virtio-queues.ts: packets by hand for tests that break rules, and sockets
// that keep to them and assert that the host does. Pure; no KVM.

import type { KvmMemory } from 'node-kvm';
import * as assert from 'uvu/assert';
import type { VirtioVsock } from '../shared/virtio/vsock.ts';
import { HEADER, OP, SHUT_BOTH, SHUT_SEND } from '../shared/virtio/vsock-packet.ts';
import { QueuesDriver } from './virtio-queues.ts';

export const CID = 7;
const RX_BUFFERS = 16;
const RX_BYTES = 4096 + HEADER;
const TX_BYTES = 8192;

export interface Packet {
  readonly sourceCid: bigint;
  readonly targetCid: bigint;
  readonly sourcePort: number;
  readonly targetPort: number;
  readonly length: number;
  readonly type: number;
  readonly op: number;
  readonly flags: number;
  readonly bufferSize: number;
  readonly forwarded: number;
  readonly payload: Uint8Array;
}

export type PacketFields = Partial<Packet> & { readonly op: number };

/** The bytes of a packet from the guest's port 1000 to the host's port 5000, unless it says otherwise. */
export function encode(fields: PacketFields): Uint8Array {
  const payload = fields.payload ?? new Uint8Array();
  const bytes = new Uint8Array(HEADER + payload.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, fields.sourceCid ?? BigInt(CID), true);
  view.setBigUint64(8, fields.targetCid ?? 2n, true);
  view.setUint32(16, fields.sourcePort ?? 1000, true);
  view.setUint32(20, fields.targetPort ?? 5000, true);
  view.setUint32(24, fields.length ?? payload.length, true);
  view.setUint16(28, fields.type ?? 1, true);
  view.setUint16(30, fields.op, true);
  view.setUint32(32, fields.flags ?? 0, true);
  view.setUint32(36, fields.bufferSize ?? 65536, true);
  view.setUint32(40, fields.forwarded ?? 0, true);
  bytes.set(payload, HEADER);
  return bytes;
}

function decode(bytes: Uint8Array): Packet {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    sourceCid: view.getBigUint64(0, true),
    targetCid: view.getBigUint64(8, true),
    sourcePort: view.getUint32(16, true),
    targetPort: view.getUint32(20, true),
    length: view.getUint32(24, true),
    type: view.getUint16(28, true),
    op: view.getUint16(30, true),
    flags: view.getUint32(32, true),
    bufferSize: view.getUint32(36, true),
    forwarded: view.getUint32(40, true),
    payload: bytes.slice(HEADER),
  };
}

export class GuestVsock {
  readonly driver: QueuesDriver;
  /** What the host has sent, in order. */
  readonly packets: Packet[] = [];
  readonly sockets = new Map<string, GuestSocket>();
  /** Called for a REQUEST of the host's; without it there is nobody, and the answer is a RST. */
  onRequest: ((socket: GuestSocket) => void) | undefined;
  /** While false the driver gives no buffers back. */
  receives = true;
  /** While false, packets for no socket of ours are not answered: tests send by hand. */
  answers = true;
  readonly #buffers = new Map<number, number>();
  readonly #returned: number[] = [];
  readonly #waiting: Uint8Array[] = [];

  constructor(device: VirtioVsock, memory: KvmMemory) {
    this.driver = new QueuesDriver(device, memory);
    this.setUp();
    this.driver.onInterrupt = () => this.poll();
  }

  setUp(): void {
    this.driver.setUp(1n, [RX_BUFFERS, 16, 8]);
    this.#buffers.clear();
    this.#returned.length = 0;
    for (let i = 0; i < RX_BUFFERS; i++) this.#returned.push(i);
    this.giveBuffers();
  }

  giveBuffers(): void {
    const rx = this.driver.queue(0);
    for (const number of this.#returned.splice(0)) this.#buffers.set(rx.add([], [rx.buffer(number, RX_BYTES)]), number);
    rx.kick();
  }

  /** Sends bytes as one packet, when there is a descriptor for it. */
  sendBytes(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    this.#transmit();
  }

  send(fields: PacketFields): void {
    this.sendBytes(encode(fields));
  }

  /** Looks at what the device has done: what an interrupt makes a driver do. */
  poll(): void {
    const rx = this.driver.queue(0);
    const { memory } = this.driver;
    for (const { id, length } of rx.collect()) {
      const number = this.#buffers.get(id);
      assert.type(number, 'number');
      this.#buffers.delete(id);
      const bytes = new Uint8Array(length);
      memory.read(rx.buffer(number as number, RX_BYTES).at, bytes);
      this.#returned.push(number as number);
      const packet = decode(bytes);
      assert.is(packet.length, packet.payload.length);
      this.packets.push(packet);
      this.#handle(packet);
    }
    if (this.receives && this.#returned.length > 0) this.giveBuffers();
    this.#transmit();
  }

  connect(guestPort: number, hostPort: number): GuestSocket {
    const socket = new GuestSocket(this, guestPort, hostPort, false);
    this.sockets.set(`${hostPort}:${guestPort}`, socket);
    socket.send(OP.REQUEST);
    return socket;
  }

  #transmit(): void {
    const tx = this.driver.queue(1);
    tx.collect();
    while (this.#waiting.length > 0 && tx.room > 0) {
      const bytes = this.#waiting.shift() as Uint8Array;
      const place = tx.buffer(tx.nextId, TX_BYTES);
      this.driver.memory.write(place.at, bytes);
      tx.add([{ at: place.at, length: bytes.length }], []);
      tx.kick();
      tx.collect();
    }
  }

  #handle(packet: Packet): void {
    const key = `${packet.sourcePort}:${packet.targetPort}`;
    let socket = this.sockets.get(key);
    if (packet.op === OP.REQUEST && socket === undefined && this.onRequest !== undefined) {
      socket = new GuestSocket(this, packet.targetPort, packet.sourcePort, true);
      this.sockets.set(key, socket);
      socket.granted(packet);
      socket.send(OP.RESPONSE);
      this.onRequest(socket);
    } else if (socket !== undefined) socket.handle(packet);
    else if (packet.op !== OP.RST && this.answers)
      this.send({ op: OP.RST, sourcePort: packet.targetPort, targetPort: packet.sourcePort });
  }
}

/** A stream socket that keeps to the rules. */
export class GuestSocket {
  readonly guestPort: number;
  readonly hostPort: number;
  state: 'connecting' | 'open' | 'closed';
  /** Bytes that we let the host have on its way. */
  bufferSize = 64 * 1024;
  /** While false, what arrives stays in the buffer. */
  reads = true;
  readonly received: Uint8Array[] = [];
  /** Shutdown flags of the host's. */
  hostShut = 0;
  onReceived: ((bytes: Uint8Array) => void) | undefined;
  onHostShut: (() => void) | undefined;
  readonly #guest: GuestVsock;
  #unread: Uint8Array[] = [];
  #arrived = 0;
  #forwarded = 0;
  #output: Uint8Array[] = [];
  #sent = 0;
  #hostBuffer = 0;
  #hostForwarded = 0;
  #shut = 0;
  #wantShut = 0;

  constructor(guest: GuestVsock, guestPort: number, hostPort: number, open: boolean) {
    this.#guest = guest;
    this.guestPort = guestPort;
    this.hostPort = hostPort;
    this.state = open ? 'open' : 'connecting';
  }

  send(op: number, more: Partial<Packet> = {}): void {
    this.#guest.send({
      op,
      sourcePort: this.guestPort,
      targetPort: this.hostPort,
      bufferSize: this.bufferSize,
      forwarded: this.#forwarded,
      ...more,
    });
  }

  write(bytes: Uint8Array): void {
    this.#output.push(bytes);
    this.#pump();
  }

  /** Shuts down when everything written has left. */
  shutdown(flags: number): void {
    this.#wantShut |= flags;
    this.#pump();
  }

  /** Takes what has arrived, and tells the host. */
  read(): void {
    const taken = this.#unread;
    this.#unread = [];
    for (const bytes of taken) {
      this.#forwarded = (this.#forwarded + bytes.length) >>> 0;
      this.received.push(bytes);
      this.onReceived?.(bytes);
    }
    if (taken.length > 0 && this.state !== 'closed') this.send(OP.CREDIT_UPDATE);
  }

  get unreadBytes(): number {
    return this.#unread.reduce((sum, { length }) => sum + length, 0);
  }

  granted(packet: Packet): void {
    this.#hostBuffer = packet.bufferSize;
    this.#hostForwarded = packet.forwarded;
  }

  handle(packet: Packet): void {
    this.granted(packet);
    switch (packet.op) {
      case OP.RESPONSE:
        assert.is(this.state, 'connecting');
        this.state = 'open';
        break;
      case OP.RST:
        this.state = 'closed';
        this.#guest.sockets.delete(`${this.hostPort}:${this.guestPort}`);
        break;
      case OP.RW:
        assert.is(this.state, 'open');
        assert.is(this.hostShut & SHUT_SEND, 0, 'nothing comes after the end');
        this.#arrived += packet.length;
        assert.ok(this.#arrived - this.#forwarded <= this.bufferSize, 'the host keeps to our credit');
        this.#unread.push(packet.payload);
        if (this.reads) this.read();
        break;
      case OP.SHUTDOWN:
        this.hostShut |= packet.flags;
        this.onHostShut?.();
        // As Linux does: a connection that the host has closed is confirmed by a RST.
        if (this.hostShut === SHUT_BOTH) {
          this.send(OP.RST);
          this.state = 'closed';
          this.#guest.sockets.delete(`${this.hostPort}:${this.guestPort}`);
        }
        break;
      case OP.CREDIT_REQUEST:
        this.send(OP.CREDIT_UPDATE);
        break;
      default:
    }
    this.#pump();
  }

  #pump(): void {
    if (this.state !== 'open') return;
    for (;;) {
      const first = this.#output[0];
      if (first === undefined) break;
      const room = this.#hostBuffer - ((this.#sent - this.#hostForwarded) >>> 0);
      const length = Math.min(room, first.length, 4096);
      if (length <= 0) return;
      this.#sent = (this.#sent + length) >>> 0;
      this.send(OP.RW, { payload: first.subarray(0, length) });
      if (length === first.length) this.#output.shift();
      else this.#output[0] = first.subarray(length);
    }
    if (this.#wantShut === this.#shut) return;
    this.#shut = this.#wantShut;
    this.send(OP.SHUTDOWN, { flags: this.#shut });
  }
}
