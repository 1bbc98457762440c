// Damaged socket packets, for the fuzzer: a guest of several streams that breaks the rules now and then, and a host that sends, ends and
// destroys meanwhile. Nothing throws, peers hear of a connection in order and of its end once, and what is held is bounded.

import { KvmMemory } from 'node-kvm';
import { CONNECTIONS_MAX, VirtioVsock } from '../../../shared/virtio/vsock.ts';
import { BUFFER_BYTES, type VsockConnection, type VsockPeer } from '../../../shared/virtio/vsock-connection.ts';
import { HEADER, OP } from '../../../shared/virtio/vsock-packet.ts';
import { CID, encode, GuestVsock } from '../../vsock-guest.ts';
import type { Random } from '../random.ts';
import { damage, type FuzzSession, oddWord, type Parser, promise, type Verdict } from './parser.ts';

const HOST_PORT = 5000;
const GUEST_PORTS = 8;

/** The host's end of a connection. */
class Peer implements VsockPeer {
  readonly connection: VsockConnection;
  closes = 0;
  /** Bytes of the guest's that it has sent and that have not been taken; not counted any more behind a destroy(). */
  unread = 0;
  readonly #pieces: number[] = [];
  readonly #heard: () => void;
  #held = 0;
  #ends = 0;

  constructor(connection: VsockConnection, heard: () => void) {
    this.connection = connection;
    this.#heard = heard;
  }

  connected(): void {
    this.#hear();
  }

  data(bytes: Uint8Array): void {
    this.#hear();
    promise(this.#ends === 0, () => 'data behind the end');
    this.#pieces.push(bytes.length);
    this.#held += bytes.length;
    promise(this.#held <= BUFFER_BYTES && this.#pieces.length <= 8, () => `${this.#held} bytes are held`);
  }

  sent(): void {}

  ended(): void {
    this.#hear();
    this.#ends += 1;
    promise(this.#ends === 1, () => 'a second end');
  }

  stopped(): void {
    this.#hear();
  }

  closed(): void {
    this.#hear();
    this.closes += 1;
  }

  take(): boolean {
    const bytes = this.#pieces.shift();
    if (bytes === undefined) return false;
    this.#held -= bytes;
    this.unread -= bytes;
    this.connection.consumed(bytes);
    return true;
  }

  #hear(): void {
    this.#heard();
    promise(this.closes === 0, () => 'something behind the last');
  }
}

class Session implements FuzzSession {
  readonly #random: Random;
  readonly #memory = new KvmMemory(0x10_0000);
  readonly #device = new VirtioVsock(CID);
  readonly #guest: GuestVsock;
  /** Guests that send much, and hosts that take little. */
  readonly #greedy: boolean;
  #peers: Peer[] = [];
  #heard = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#greedy = random.oneIn(3);
    this.#guest = new GuestVsock(this.#device, this.#memory);
    // Looked at step by step.
    this.#guest.driver.onInterrupt = undefined;
    this.#guest.answers = false;
    this.#device.listen(HOST_PORT, connection => this.#peer(connection));
  }

  input(): Verdict {
    const before = this.#heard;
    this.#hostActs();
    const { bytes, peer } = this.#guestSends();
    this.#guest.receives = !this.#random.oneIn(8);
    this.#guest.poll();
    const answers = this.#guest.packets.splice(0);
    const refused = this.#guest.driver.needsReset;
    const isShort = bytes.length < HEADER || new DataView(bytes.buffer).getUint32(24, true) > bytes.length - HEADER;
    const isSeen = this.#guest.driver.queue(1).room === this.#guest.driver.queue(1).size;
    promise(refused || !isShort || !isSeen, () => 'a packet that is shorter than it says');
    if (peer !== undefined && isSeen && !refused && peer.closes === 0) {
      peer.unread += bytes.length - HEADER;
      promise(peer.unread <= BUFFER_BYTES, () => `${peer.unread} bytes of one connection are held`);
    }
    if (refused) {
      this.#guest.driver.faults.length = 0;
      this.#guest.setUp();
    }
    const welcome = this.#heard > before || answers.some(({ op }) => op !== OP.RST);
    return welcome && !refused ? 'accepted' : 'refused';
  }

  finish(): void {
    this.#guest.setUp();
    for (const peer of this.#peers) {
      // An orderly end is told behind the last piece.
      while (peer.take());
      promise(peer.closes === 1, () => `the reset ended a connection ${peer.closes} times`);
    }
    this.#memory[Symbol.dispose]();
  }

  #peer(connection: VsockConnection): Peer {
    const peer = new Peer(connection, () => {
      this.#heard += 1;
    });
    this.#peers.push(peer);
    promise(this.#peers.filter(({ closes }) => closes === 0).length <= CONNECTIONS_MAX, () => 'too many connections');
    return peer;
  }

  #hostActs(): void {
    const random = this.#random;
    if (random.oneIn(16)) this.#device.connect(1000 + random.below(GUEST_PORTS), each => this.#peer(each));
    const peer = this.#peers[random.below(Math.max(1, this.#peers.length))];
    if (peer === undefined) return;
    const kind = random.below(16);
    if (kind < (this.#greedy ? 1 : 4)) peer.take();
    else if (kind === 4) peer.connection.send(new Uint8Array(1 + random.below(6000)));
    else if (kind === 5 && random.oneIn(4)) peer.connection.end();
    else if (kind === 6 && random.oneIn(4)) {
      peer.connection.destroy();
      peer.unread = Number.NEGATIVE_INFINITY;
    }
    if (peer.closes === 0) return;
    while (peer.take());
    peer.connection.release();
    this.#peers = this.#peers.filter(each => each !== peer);
  }

  /** Sends a packet; `peer`: whose bytes it brings, as far as that is certain. */
  #guestSends(): { readonly bytes: Uint8Array; readonly peer: Peer | undefined } {
    const random = this.#random;
    const ours = this.#peers[random.below(Math.max(1, this.#peers.length))]?.connection;
    const usual = random.pick([
      OP.REQUEST,
      OP.RESPONSE,
      OP.RST,
      OP.SHUTDOWN,
      ...Array<typeof OP.RW>(this.#greedy ? 40 : 6).fill(OP.RW),
    ]);
    const op = random.oneIn(16) ? random.pick([OP.CREDIT_UPDATE, OP.CREDIT_REQUEST]) : usual;
    const known = ours !== undefined && !random.oneIn(4) && op !== OP.REQUEST;
    const sourcePort = known ? ours.guestPort : 1000 + random.below(this.#greedy ? 1 : GUEST_PORTS);
    const targetPort = known ? ours.hostPort : HOST_PORT;
    const bytes = encode({
      op,
      sourcePort,
      targetPort,
      flags: op === OP.SHUTDOWN ? random.below(4) : 0,
      bufferSize: random.oneIn(4) ? oddWord(random) : 65_536,
      forwarded: random.oneIn(16) ? oddWord(random) : 0,
      payload: new Uint8Array(op === OP.RW ? random.below(this.#greedy || random.oneIn(4) ? 8000 : 100) : 0),
    });
    const isWhole = !random.oneIn(64);
    const isDamaged = random.oneIn(this.#greedy ? 256 : 4);
    if (isDamaged) damage(random, bytes, { last: HEADER, near: [bytes.length - HEADER, HOST_PORT, CID] });
    const sent = isWhole ? bytes : bytes.slice(0, 1 + random.below(bytes.length));
    this.#guest.sendBytes(sent);
    const there = this.#peers.filter(
      ({ connection }) => connection.guestPort === sourcePort && connection.hostPort === targetPort,
    );
    const isPlain = isWhole && !isDamaged && there.length === 1 && ![OP.SHUTDOWN, OP.RST].some(end => end === op);
    // What may have ended it, or meant another: from now on nobody knows what it holds.
    if (!isPlain) for (const each of isDamaged ? this.#peers : there) each.unread = Number.NEGATIVE_INFINITY;
    return { bytes: sent, peer: isPlain && op === OP.RW ? there[0] : undefined };
  }
}

/** Socket packets. */
export const vsock: Parser = { name: 'vsock', open: random => new Session(random) };
