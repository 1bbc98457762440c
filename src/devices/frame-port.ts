// A cable in the process: Ethernet frames over a MessagePort, between two machines or a machine and the application. Any thread.
// Both ends say the same: a frame, or how many frames were taken. So many may be on the way; then the sender drops.

import type { MessagePort } from 'node:worker_threads';
import type { NetBackend } from '../../shared/virtio/net.ts';

/** Frames on the way at most: at 1,500 bytes some 384 KiB. */
export const FRAMES_MAX = 256;
/** The other end hears of frames that were taken in steps, rather than one by one. */
const TAKEN_STEP = FRAMES_MAX / 8;

type Message = Uint8Array<ArrayBuffer> | number;

export class FramePort implements NetBackend {
  onFrame: ((frame: Uint8Array) => boolean) | undefined;
  /** The other end has closed. */
  onClose: (() => void) | undefined;
  readonly #port: MessagePort;
  /** With it the application says itself when it has taken a frame. */
  readonly #acknowledges: boolean;
  #onTheWay = 0;
  #taken = 0;

  constructor(port: MessagePort, acknowledges = true) {
    this.#port = port;
    this.#acknowledges = acknowledges;
    port.on('message', (message: Message) => this.#hear(message));
    port.on('close', () => this.onClose?.());
  }

  send(frame: Uint8Array<ArrayBuffer>): boolean {
    if (this.#onTheWay >= FRAMES_MAX) return false;
    this.#onTheWay += 1;
    this.#port.postMessage(frame satisfies Message, [frame.buffer]);
    return true;
  }

  /** One frame has been taken: there is room for another. */
  taken(): void {
    this.#taken += 1;
    if (this.#taken < TAKEN_STEP) return;
    this.#port.postMessage(this.#taken satisfies Message);
    this.#taken = 0;
  }

  close(): void {
    this.#port.close();
  }

  #hear(message: Message): void {
    if (typeof message === 'number') this.#onTheWay -= message;
    else {
      this.onFrame?.(message);
      if (this.#acknowledges) this.taken();
    }
  }
}
