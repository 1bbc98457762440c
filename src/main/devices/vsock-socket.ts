// One stream socket to or from the guest, as the application has it: a Duplex over the channel to the device. Main thread.
// Memory is bounded in both directions: what the guest sends stays within the credit that the device grants, which comes back
// only as the stream is read; what is written waits in the stream while SEND_WINDOW bytes are on their way.

import { Duplex } from 'node:stream';
import { assertNever } from '../../../shared/errors.ts';
import { SEND_WINDOW, type VsockCommand, type VsockEvent } from '../../../shared/virtio/vsock-link.ts';

/** Bytes in one message: what a guest's packet has at most. */
const PIECE_BYTES = 64 * 1024;

/** Codes of a socket's errors, as `node:net` has them. */
export type VsockErrorCode = 'ECONNREFUSED' | 'ECONNRESET' | 'EPIPE' | 'ENETDOWN';

/** @internal An error as Node's own sockets have it. */
export function socketError(code: VsockErrorCode, why: string): Error & { code: VsockErrorCode } {
  return Object.assign(new Error(`${code}: ${why}`), { code });
}

/** @internal What a socket hears of its device. */
export type SocketEvent = Exclude<VsockEvent, { type: 'accepted' | 'offered' }>;

/** @internal */
export interface SocketChannel {
  post(command: VsockCommand, transfer: readonly ArrayBuffer[]): void;
  /** The connection is over. */
  forget(id: number): void;
}

/**
 * A stream socket between host and guest. As with `net.Socket` and `allowHalfOpen`: `end()` tells the guest that nothing more comes, and reading goes on;
 * 'end' says that the guest sends no more, and writing goes on until `end()`. When the guest has closed it altogether, it closes after
 * 'end' by itself. `destroy()` lets go of both directions; the guest sees a reset where something had not left yet.
 *
 * Errors: `ECONNRESET`: the guest gave it up, broke the protocol, or was reset; `EPIPE`: written to after the guest had stopped
 * receiving; `ENETDOWN`: the machine has ended.
 */
export class VsockSocket extends Duplex {
  /** The guest's port. */
  readonly remotePort: number;
  readonly #id: number;
  readonly #channel: SocketChannel;
  readonly #connected: (() => void) | undefined;
  #localPort: number | undefined;
  #received: Uint8Array<ArrayBuffer>[] = [];
  #wanted = false;
  #ended = false;
  #stopped = false;
  #closed = false;
  #room = SEND_WINDOW;
  #allSent: ((error?: Error | null) => void) | undefined;
  #output: { bytes: Uint8Array; readonly done: (error?: Error | null) => void } | undefined;

  /** @internal Use `connect()` and `listen()` of the device. */
  constructor(
    id: number,
    ports: { readonly localPort?: number; readonly remotePort: number },
    channel: SocketChannel,
    connected?: () => void,
  ) {
    super({ allowHalfOpen: true, decodeStrings: true });
    this.#id = id;
    this.#localPort = ports.localPort;
    this.remotePort = ports.remotePort;
    this.#channel = channel;
    this.#connected = connected;
  }

  /** The host's port: the one that was listened on, or one that the device chose. Undefined while it connects. */
  get localPort(): number | undefined {
    return this.#localPort;
  }

  /** @internal Tells the guest that it is connected. Once, for a socket of `offer()`. */
  accept(): void {
    this.#channel.post({ type: 'accept', id: this.#id }, []);
  }

  /** @internal */
  hear(event: SocketEvent): void {
    switch (event.type) {
      case 'connected':
        this.#localPort = event.hostPort;
        this.#connected?.();
        return;
      case 'data':
        if (!this.destroyed) this.#received.push(event.bytes);
        this.#pour();
        return;
      case 'sent':
        this.#room += event.bytes;
        this.#feed();
        return;
      case 'ended':
        this.#ended = true;
        this.#pour();
        return;
      case 'stopped':
        this.#stopped = true;
        this.#feed();
        return;
      case 'closed':
        this.#over(event.failure, 'the guest gave the connection up');
        return;
      default:
        assertNever(event);
    }
  }

  /** @internal The connection is over; `code` says why if it is not an orderly end. */
  #over(code: VsockErrorCode | undefined, why: string): void {
    this.#closed = true;
    this.#stopped = true;
    if (this.destroyed) this.#release();
    else if (code !== undefined) this.destroy(socketError(code, why));
    else if (this.readableEnded) this.destroy();
    else this.once('end', () => this.destroy());
    this.#feed();
  }

  /** @internal The machine has ended. */
  cut(): void {
    this.#closed = true;
    this.destroy(socketError('ENETDOWN', 'the machine has ended'));
  }

  override _read(): void {
    this.#wanted = true;
    this.#pour();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#output = { bytes: chunk, done };
    this.#feed();
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#closed) this.#channel.post({ type: 'end', id: this.#id }, []);
    // 'finish' is when it has left: the stream destroys itself then if the guest has ended too, and that takes back what has not.
    this.#allSent = done;
    this.#feed();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#received = [];
    // The device counts the connection until nobody here keeps it: a guest cannot pile up sockets that the application has not seen to.
    if (this.#closed) this.#release();
    else this.#channel.post({ type: 'destroy', id: this.#id }, []);
    const waiting = this.#output;
    this.#output = undefined;
    waiting?.done(error);
    done(error);
  }

  #release(): void {
    this.#channel.post({ type: 'release', id: this.#id }, []);
    this.#channel.forget(this.#id);
  }

  #pour(): void {
    while (this.#wanted) {
      const bytes = this.#received.shift();
      if (bytes === undefined) break;
      this.#wanted = this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      if (!this.#closed) this.#channel.post({ type: 'consumed', id: this.#id, bytes: bytes.byteLength }, []);
    }
    if (!this.#ended || this.#received.length > 0) return;
    this.#ended = false;
    this.push(null);
  }

  #feed(): void {
    for (;;) {
      const output = this.#output;
      if (output === undefined) break;
      if (output.bytes.length > 0 && this.#stopped) {
        this.#output = undefined;
        output.done(socketError('EPIPE', 'the guest does not receive any more'));
        return;
      }
      const length = Math.min(output.bytes.length, this.#room, PIECE_BYTES);
      if (length === 0 && output.bytes.length > 0) return;
      if (length > 0) {
        // A copy: the caller's buffer is the caller's again when the write is done, and may be a part of a larger one.
        const bytes = new Uint8Array(output.bytes.subarray(0, length));
        this.#room -= length;
        output.bytes = output.bytes.subarray(length);
        this.#channel.post({ type: 'data', id: this.#id, bytes }, [bytes.buffer]);
      }
      if (output.bytes.length > 0) continue;
      this.#output = undefined;
      output.done();
    }
    const allSent = this.#allSent;
    const unsent = this.#room < SEND_WINDOW;
    if (allSent === undefined || (unsent && !this.#stopped)) return;
    this.#allSent = undefined;
    allSent(unsent ? socketError('EPIPE', 'the guest stopped receiving before it had everything') : null);
  }
}
