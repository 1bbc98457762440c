// Ethernet frames over a Unix stream socket, each behind its length in four bytes, big-endian: what QEMU's `-netdev stream` speaks, and
// passt and other user-mode networks at the other end of it. No privileges are needed. Any thread.

import { createConnection, type Socket } from 'node:net';
import { FRAME_MIN, MTU_MAX, type NetBackend } from '../../shared/virtio/net.ts';

/** Bytes that wait in the socket; beyond that frames are dropped. */
const WAITING_MAX = 1024 * 1024;
const LENGTH = 4;
/** No frame is as long: the stream has lost its order, or is none of frames. */
const FRAME_MAX = MTU_MAX + 18;

export class FrameSocket implements NetBackend {
  onFrame: ((frame: Uint8Array) => boolean) | undefined;
  readonly #socket: Socket;
  /** What came of a frame that is not whole yet. */
  #rest: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', chunk => this.#receive(chunk));
    // The cable is out: frames get lost from now on.
    socket.on('error', () => socket.destroy());
  }

  /** Connects to the socket at `path`. @throws (rejects) Error with Node's code: `ENOENT`, `ECONNREFUSED`, … */
  static open(path: string): Promise<FrameSocket> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(path);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new FrameSocket(socket));
      });
    });
  }

  send(frame: Uint8Array<ArrayBuffer>): boolean {
    const socket = this.#socket;
    if (!socket.writable || socket.writableLength > WAITING_MAX) return false;
    const length = Buffer.alloc(LENGTH);
    length.writeUInt32BE(frame.length);
    socket.cork();
    socket.write(length);
    socket.write(frame);
    socket.uncork();
    return true;
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= LENGTH) {
      const length = bytes.readUInt32BE();
      if (length < FRAME_MIN || length > FRAME_MAX) {
        this.#socket.destroy();
        return;
      }
      if (bytes.length < LENGTH + length) break;
      this.onFrame?.(bytes.subarray(LENGTH, LENGTH + length));
      bytes = bytes.subarray(LENGTH + length);
    }
    this.#rest = bytes;
  }
}
