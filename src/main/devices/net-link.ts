// The application's end of a machine's network cable: a Duplex of Ethernet frames. Main thread.

import { Duplex } from 'node:stream';
import type { MessagePort } from 'node:worker_threads';
import { FramePort } from '../../devices/frame-port.ts';

/**
 * Reading gives frames of the guest's (Buffers), writing one sends a frame to it. An async iterator is a Duplex's own. As on any network,
 * frames get lost: the guest's while nobody reads, the application's while the guest does not take them (`dropped`).
 */
export class NetLink extends Duplex {
  readonly #port: FramePort;
  #dropped = 0;
  #unread = 0;

  /** @internal */
  constructor(port: MessagePort) {
    super({ objectMode: true });
    this.#port = new FramePort(port, false);
    this.#port.onFrame = frame => this.#receive(frame);
    this.#port.onClose = () => this.destroy();
    port.unref();
  }

  /** Frames that were written and had no room on the way. */
  get dropped(): number {
    return this.#dropped;
  }

  override _read(): void {
    for (; this.#unread > 0; this.#unread--) this.#port.taken();
  }

  override _write(frame: unknown, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (!(frame instanceof Uint8Array)) {
      done(Object.assign(new TypeError('a frame must be a Uint8Array'), { code: 'ERR_INVALID_ARG_TYPE' }));
      return;
    }
    // A copy: the caller's buffer stays the caller's.
    if (!this.#port.send(new Uint8Array(frame))) this.#dropped += 1;
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#port.close();
    done(error);
  }

  #receive(frame: Uint8Array): boolean {
    // While the reader is behind, frames are not taken, and the other end drops what comes next.
    if (this.push(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength))) this.#port.taken();
    else this.#unread += 1;
    return true;
  }
}
