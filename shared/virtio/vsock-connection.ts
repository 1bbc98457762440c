// One stream between a port of the host's and a port of the guest's, as the device sees it: states, both directions' credit, and what
// is on its way. Device's thread; pure. Of the guest's it holds BUFFER_BYTES, in at most twice the memory; of the host's, what the host sends
// without waiting for `sent()`.
//
//       asked ── we accept ──▶ open ── we give up, or answer a SHUTDOWN ──▶ resetting ── RST is sent ──▶ gone
//  connecting ── RESPONSE ────▶ │                                               │                      ▲
//        └──────────────────────┴──── RST from the guest, or a reset of the device ────────────────────┘

import type { Chain } from './chain.ts';
import { HEADER, OP, type Op, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND, type VsockHeader } from './vsock-packet.ts';

/** What the guest may have on its way to the host, per connection: the credit that we grant. */
export const BUFFER_BYTES = 256 * 1024;
/** The guest is told of new room when it grew by so much: it never sees less than the rest. */
const UPDATE_BYTES = BUFFER_BYTES / 4;
/** Pieces that the host has not taken yet. The next ones are gathered here, so that a guest that sends single bytes makes few. */
const PIECES_MAX = 8;
const GATHER_BYTES = 16 * 1024;

/** Why a connection ended that did not end by both sides' will. */
export type VsockFailure = 'ECONNREFUSED' | 'ECONNRESET';

/** The host's end: what the device tells it. Called on the device's thread; must not throw. */
export interface VsockPeer {
  /** The guest has accepted. For connections that the host asked for. */
  connected(): void;
  /** Bytes of the guest's, the peer's to keep. It answers each piece by one `consumed()`. */
  data(bytes: Uint8Array<ArrayBuffer>): void;
  /** So many bytes of the host's have left for the guest. */
  sent(bytes: number): void;
  /** The guest will send no more. */
  ended(): void;
  /** The guest will receive no more. */
  stopped(): void;
  /** It is over; `release()` is due. Once, and the last call. */
  closed(failure: VsockFailure | undefined): void;
}

/** What a connection needs of its device. */
export interface VsockOwner {
  /** The connection has a packet for the guest. */
  ready(connection: VsockConnection): void;
  /** Both have shut down, and the guest has yet to confirm it. */
  closing(connection: VsockConnection): void;
  /** The guest's side is over: its ports are free. */
  gone(connection: VsockConnection): void;
  /** The host's side has been released, too. */
  released(connection: VsockConnection): void;
}

/**
 * How it begins. 'connecting': we ask the guest. 'open': the guest has asked, and is answered at once. 'asked': the guest has, and its answer waits
 * for `accept()` or `destroy()`.
 */
export type VsockBeginning = 'connecting' | 'open' | 'asked';

interface Gathered {
  readonly bytes: Uint8Array<ArrayBuffer>;
  used: number;
}

export class VsockConnection {
  readonly hostPort: number;
  readonly guestPort: number;
  readonly #owner: VsockOwner;
  readonly #peer: VsockPeer;
  #state: VsockBeginning | 'resetting' | 'gone';
  /** Packets that are due, a bit for each op: a guest that asks again and again is owed no more. */
  #owed = 0;
  // Shutdown flags: what the guest has sent, what we have sent, what the host wants.
  #guestShut = 0;
  #hostShut = 0;
  #wantShut = 0;
  // From the guest. Counters are modulo 2^32 (5.10.6.3).
  #gathered: Gathered[] = [];
  #held = 0;
  #pieces = 0;
  #consumed = 0;
  #told = 0;
  #endTold = false;
  #closed = false;
  #closedTold = false;
  #released = false;
  #discards = false;
  #failure: VsockFailure | undefined;
  // To the guest.
  #outgoing: Uint8Array[] = [];
  #offset = 0;
  #sent = 0;
  #guestBuffer = 0;
  #guestConsumed = 0;
  #creditAsked = false;

  constructor(
    ports: { readonly hostPort: number; readonly guestPort: number },
    beginning: VsockBeginning,
    owner: VsockOwner,
    makePeer: (connection: VsockConnection) => VsockPeer,
  ) {
    this.hostPort = ports.hostPort;
    this.guestPort = ports.guestPort;
    this.#owner = owner;
    this.#state = beginning;
    this.#peer = makePeer(this);
  }

  /** @internal Its owner knows it: the first packet may leave. */
  begin(): void {
    if (this.#state !== 'asked') this.#owe(this.#state === 'connecting' ? OP.REQUEST : OP.RESPONSE);
  }

  // ── the host's side ──

  /** Answers a guest that waits for it; nothing is sent to that before. */
  accept(): void {
    if (this.#state !== 'asked') return;
    this.#state = 'open';
    this.#owe(OP.RESPONSE);
  }

  /** Queues bytes for the guest, which belong to the device until `sent()` has told of them all. Dropped where the guest takes no more. */
  send(bytes: Uint8Array): void {
    if (bytes.length === 0 || (this.#state !== 'open' && this.#state !== 'connecting')) return;
    if ((this.#wantShut & SHUT_SEND) !== 0 || (this.#guestShut & SHUT_RECEIVE) !== 0) return;
    this.#outgoing.push(bytes);
    this.#owner.ready(this);
  }

  /** The host has taken a piece of `bytes` bytes: the guest may send as many more. */
  consumed(bytes: number): void {
    this.#pieces -= 1;
    this.#free(bytes);
    this.#deliver();
  }

  /** The host sends no more, after what it has sent. */
  end(): void {
    this.#shut(SHUT_SEND);
  }

  /** The host neither sends nor receives any more. What has not left makes it a reset. */
  destroy(): void {
    if (this.#discards) return;
    this.#discards = true;
    this.#discard();
    if (this.#state === 'gone' || this.#state === 'resetting') this.#deliver();
    else if ((this.#owed & (1 << OP.REQUEST)) !== 0) this.#gone(undefined);
    else if (this.#state !== 'open' || this.#outgoing.length > 0) this.reset(undefined);
    else this.#shut(SHUT_BOTH);
  }

  /** The host knows that it is over, or does not care: its place may be taken. After `closed()`. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#owner.released(this);
  }

  // ── the guest's side ──

  /** @internal Every packet of the guest's says what it has room for. */
  grant(header: VsockHeader): void {
    this.#guestBuffer = header.bufferSize;
    this.#guestConsumed = header.forwarded;
  }

  /** @internal A packet of the guest's. */
  receive(header: VsockHeader, chain: Chain): void {
    this.grant(header);
    if (header.op === OP.RST) {
      this.#gone(this.#resetMeans());
      return;
    }
    // The RST that is due answers whatever else it may be.
    if (this.#state === 'resetting') return;
    if (this.#obey(header, chain)) this.#owner.ready(this);
    else this.reset('ECONNRESET');
  }

  /** @internal Is there a packet for the guest? Where only its credit is missing, that becomes one. */
  hasPacket(): boolean {
    return this.#credit() > 0 || this.#owed !== 0;
  }

  /** @internal Writes the next packet, which there is, and returns its length in bytes. */
  fill(header: VsockHeader, chain: Chain): number {
    const op = this.#nextOp();
    header.op = op;
    header.flags = 0;
    header.length = op === OP.RW ? Math.min(this.#credit(), chain.writableLength - HEADER) : 0;
    if (op === OP.SHUTDOWN) {
      this.#hostShut = this.#wantShut;
      header.flags = this.#hostShut;
    }
    header.bufferSize = BUFFER_BYTES;
    header.forwarded = this.#consumed;
    this.#told = this.#consumed;
    // Every packet carries the credit.
    this.#owed &= ~((1 << op) | (1 << OP.CREDIT_UPDATE));
    header.store(chain);
    const length = HEADER + header.length;
    if (op === OP.RW) this.#give(chain, header.length);
    else if (op === OP.RST) this.#gone(undefined);
    else if (op === OP.SHUTDOWN && this.#hostShut === SHUT_BOTH) this.#owner.closing(this);
    return length;
  }

  /** Ends it with a RST to the guest. `failure`: what the host is told; undefined when the host wants it. @internal */
  reset(failure: VsockFailure | undefined): void {
    if (this.#state === 'gone' || this.#state === 'resetting') return;
    this.#state = 'resetting';
    this.#outgoing = [];
    this.#owed = 0;
    this.#owe(OP.RST);
    // The host need not wait for a guest that takes no packets.
    if (failure !== undefined) this.#close(failure);
  }

  /** The device has lost its driver: nothing is sent any more. @internal */
  abandon(): void {
    this.#gone(this.#state === 'connecting' ? 'ECONNREFUSED' : 'ECONNRESET');
  }

  /** False: it broke a rule. */
  #obey(header: VsockHeader, chain: Chain): boolean {
    switch (header.op) {
      case OP.RESPONSE:
        // A REQUEST that has not been sent cannot have been answered.
        if (this.#state !== 'connecting' || (this.#owed & (1 << OP.REQUEST)) !== 0) return false;
        this.#state = 'open';
        this.#peer.connected();
        // It may have been ended before.
        this.#shut(0);
        break;
      case OP.SHUTDOWN:
        if (this.#state !== 'open') return false;
        this.#guestShuts(header.flags & SHUT_BOTH);
        break;
      case OP.RW:
        if (this.#state !== 'open' || !this.#take(chain, header.length)) return false;
        break;
      case OP.CREDIT_UPDATE:
        break;
      case OP.CREDIT_REQUEST:
        this.#owe(OP.CREDIT_UPDATE);
        break;
      default:
        // A second REQUEST among them: its sender does not know of the connection that it has.
        return false;
    }
    return true;
  }

  #resetMeans(): VsockFailure | undefined {
    if (this.#state === 'connecting') return 'ECONNREFUSED';
    const over = this.#hostShut === SHUT_BOTH || this.#guestShut === SHUT_BOTH;
    return over ? undefined : 'ECONNRESET';
  }

  #guestShuts(flags: number): void {
    const added = flags & ~this.#guestShut;
    this.#guestShut |= flags;
    if ((added & SHUT_RECEIVE) !== 0) {
      this.#outgoing = [];
      this.#offset = 0;
      this.#peer.stopped();
    }
    if (this.#guestShut === SHUT_BOTH) {
      // Confirmed by a RST; what the guest sent before is still on its way to the host.
      this.reset(undefined);
      this.#close(undefined);
    } else if (added !== 0) {
      this.#deliver();
      this.#shut(0);
    }
  }

  /** What the host wants to shut is told when everything that it sent before has left. */
  #shut(flags: number): void {
    this.#wantShut |= flags;
    // Nothing comes in any more and nothing goes out: then it is closed, and not only half of it.
    if ((this.#guestShut & SHUT_SEND) !== 0 && (this.#wantShut & SHUT_SEND) !== 0) this.#wantShut = SHUT_BOTH;
    if (this.#outgoing.length === 0 && this.#state === 'open' && this.#wantShut !== this.#hostShut)
      this.#owe(OP.SHUTDOWN);
  }

  // ── from the guest to the host ──

  /** Copies the payload; false when it is more than the guest was granted, or comes after its own end. */
  #take(chain: Chain, length: number): boolean {
    if ((this.#guestShut & SHUT_SEND) !== 0 || length > BUFFER_BYTES - this.#held) return false;
    if (length === 0) return true;
    this.#held += length;
    if (this.#discards) {
      this.#free(length);
      return true;
    }
    let tail = this.#gathered.at(-1);
    if (tail === undefined || tail.bytes.length - tail.used < length) {
      const size = this.#pieces < PIECES_MAX ? length : Math.max(length, GATHER_BYTES);
      tail = { bytes: new Uint8Array(size), used: 0 };
      this.#gathered.push(tail);
    }
    tail.used += chain.read(HEADER, tail.bytes.subarray(tail.used, tail.used + length));
    this.#deliver();
    return true;
  }

  #deliver(): void {
    while (this.#pieces < PIECES_MAX) {
      const next = this.#gathered.shift();
      if (next === undefined) break;
      this.#pieces += 1;
      this.#peer.data(next.used === next.bytes.length ? next.bytes : next.bytes.slice(0, next.used));
    }
    if (this.#gathered.length > 0) return;
    if ((this.#guestShut & SHUT_SEND) !== 0 && !this.#endTold && !this.#discards) {
      this.#endTold = true;
      this.#peer.ended();
    }
    if (!this.#closed || this.#closedTold) return;
    this.#closedTold = true;
    this.#peer.closed(this.#failure);
  }

  #free(bytes: number): void {
    this.#held -= bytes;
    this.#consumed = (this.#consumed + bytes) >>> 0;
    if (this.#state === 'open' && (this.#consumed - this.#told) >>> 0 >= UPDATE_BYTES) this.#owe(OP.CREDIT_UPDATE);
  }

  #discard(): void {
    let bytes = 0;
    for (const { used } of this.#gathered) bytes += used;
    this.#gathered = [];
    this.#free(bytes);
  }

  // ── from the host to the guest ──

  /** Bytes that may be sent now. */
  #credit(): number {
    const first = this.#outgoing[0];
    if (first === undefined || this.#state !== 'open') return 0;
    // A guest that claims to have taken more than we sent has no room.
    const onTheWay = (this.#sent - this.#guestConsumed) >>> 0;
    const room = Math.max(0, this.#guestBuffer - onTheWay);
    // Once: a guest that answers without making room would be asked for ever.
    if (room === 0 && !this.#creditAsked) this.#owed |= 1 << OP.CREDIT_REQUEST;
    this.#creditAsked = room === 0;
    return Math.min(room, first.length - this.#offset);
  }

  #give(chain: Chain, length: number): void {
    const first = this.#outgoing[0];
    if (first === undefined) return;
    chain.write(HEADER, first.subarray(this.#offset, this.#offset + length));
    this.#sent = (this.#sent + length) >>> 0;
    this.#offset += length;
    if (this.#offset === first.length) {
      this.#outgoing.shift();
      this.#offset = 0;
    }
    this.#peer.sent(length);
    this.#shut(0);
  }

  #owe(op: Op): void {
    if (this.#state === 'gone') return;
    this.#owed |= 1 << op;
    this.#owner.ready(this);
  }

  #nextOp(): Op {
    for (const op of [OP.RST, OP.REQUEST, OP.RESPONSE, OP.SHUTDOWN] as const)
      if ((this.#owed & (1 << op)) !== 0) return op;
    if (this.#credit() > 0) return OP.RW;
    return (this.#owed & (1 << OP.CREDIT_REQUEST)) !== 0 ? OP.CREDIT_REQUEST : OP.CREDIT_UPDATE;
  }

  // ── the end ──

  #gone(failure: VsockFailure | undefined): void {
    if (this.#state === 'gone') return;
    this.#state = 'gone';
    this.#owed = 0;
    this.#outgoing = [];
    this.#owner.gone(this);
    this.#close(failure);
  }

  /** The host hears of a failure at once, of an orderly end after the last byte. */
  #close(failure: VsockFailure | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#failure = failure;
    if (failure !== undefined) this.#gathered = [];
    this.#deliver();
  }
}
