// The channel between a socket device and the application's streams on another thread: its messages, and the device's end of it.
// Device's thread; pure: how a message is posted is handed in. Buffers are transferred, never copied. Both ends are ours and trust each
// other; what the guest does has been checked by the device, and cannot fill the channel: pieces are taken one by one (`consumed`),
// and a connection counts until the application's end has released it.

import type { VirtioVsock } from './vsock.ts';
import type { VsockConnection, VsockFailure, VsockPeer } from './vsock-connection.ts';

/** What the application may have on its way to the guest, per connection, before it hears of `sent`. Bytes. */
export const SEND_WINDOW = 256 * 1024;
/** `sent` is told in steps of so many bytes, rather than with each of the guest's buffers. */
const SENT_STEP = SEND_WINDOW / 4;

/** From the application. `id`: even where the application asked for the connection, odd where the guest did. */
export type VsockCommand =
  | { readonly type: 'listen'; readonly port: number }
  | { readonly type: 'unlisten'; readonly port: number }
  | { readonly type: 'offer' }
  | { readonly type: 'connect'; readonly id: number; readonly port: number }
  | { readonly type: 'data'; readonly id: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'consumed'; readonly id: number; readonly bytes: number }
  | { readonly type: 'accept' | 'end' | 'destroy' | 'release'; readonly id: number };

/** To the application. What is 'offered' waits for `accept` or `destroy`. */
export type VsockEvent =
  | { readonly type: 'accepted'; readonly id: number; readonly port: number; readonly guestPort: number }
  | { readonly type: 'offered'; readonly id: number; readonly port: number; readonly guestPort: number }
  | { readonly type: 'connected'; readonly id: number; readonly hostPort: number }
  | { readonly type: 'data'; readonly id: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'sent'; readonly id: number; readonly bytes: number }
  | { readonly type: 'ended' | 'stopped'; readonly id: number }
  | { readonly type: 'closed'; readonly id: number; readonly failure: VsockFailure | undefined };

export class VsockLink {
  readonly #device: VirtioVsock;
  readonly #post: (event: VsockEvent, transfer: readonly ArrayBuffer[]) => void;
  readonly #peers = new Map<number, Peer>();
  #nextId = 1;

  constructor(device: VirtioVsock, post: (event: VsockEvent, transfer: readonly ArrayBuffer[]) => void) {
    this.#device = device;
    this.#post = post;
  }

  /** A message of the application's. */
  receive(command: VsockCommand): void {
    if (command.type === 'listen')
      this.#device.listen(command.port, connection => this.#arrived('accepted', connection));
    else if (command.type === 'offer') this.#device.offer(connection => this.#arrived('offered', connection));
    else if (command.type === 'unlisten') this.#device.unlisten(command.port);
    else if (command.type === 'connect') this.#connect(command.id, command.port);
    else {
      // What crossed the end of its connection is nobody's any more.
      this.#peers.get(command.id)?.obey(command);
      if (command.type === 'release') this.#peers.delete(command.id);
    }
  }

  #arrived(type: 'accepted' | 'offered', connection: VsockConnection): Peer {
    const id = this.#nextId;
    this.#nextId += 2;
    this.#post({ type, id, port: connection.hostPort, guestPort: connection.guestPort }, []);
    return this.#peer(id, connection);
  }

  #connect(id: number, port: number): void {
    const made = this.#device.connect(port, connection => this.#peer(id, connection));
    if (made === undefined) this.#post({ type: 'closed', id, failure: 'ECONNREFUSED' }, []);
  }

  #peer(id: number, connection: VsockConnection): Peer {
    const peer = new Peer(id, connection, this.#post);
    this.#peers.set(id, peer);
    return peer;
  }
}

class Peer implements VsockPeer {
  readonly #id: number;
  readonly #connection: VsockConnection;
  readonly #post: (event: VsockEvent, transfer: readonly ArrayBuffer[]) => void;
  /** Bytes that the application has handed over and that have not left, and those that have and that it does not know of. */
  #waiting = 0;
  #untold = 0;

  constructor(
    id: number,
    connection: VsockConnection,
    post: (event: VsockEvent, transfer: readonly ArrayBuffer[]) => void,
  ) {
    this.#id = id;
    this.#connection = connection;
    this.#post = post;
  }

  obey(command: Exclude<VsockCommand, { readonly port: number } | { readonly type: 'offer' }>): void {
    const connection = this.#connection;
    if (command.type === 'data') {
      this.#waiting += command.bytes.length;
      connection.send(command.bytes);
    } else if (command.type === 'consumed') connection.consumed(command.bytes);
    else connection[command.type]();
  }

  connected(): void {
    this.#post({ type: 'connected', id: this.#id, hostPort: this.#connection.hostPort }, []);
  }

  data(bytes: Uint8Array<ArrayBuffer>): void {
    this.#post({ type: 'data', id: this.#id, bytes }, [bytes.buffer]);
  }

  sent(bytes: number): void {
    this.#waiting -= bytes;
    this.#untold += bytes;
    if (this.#untold < SENT_STEP && this.#waiting > 0) return;
    this.#post({ type: 'sent', id: this.#id, bytes: this.#untold }, []);
    this.#untold = 0;
  }

  ended(): void {
    this.#post({ type: 'ended', id: this.#id }, []);
  }

  stopped(): void {
    this.#post({ type: 'stopped', id: this.#id }, []);
  }

  closed(failure: VsockFailure | undefined): void {
    this.#post({ type: 'closed', id: this.#id, failure }, []);
  }
}
