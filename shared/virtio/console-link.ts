// The channel between a console device and the application's stream on another thread: its messages, and the device's end of it.
// Device's thread; pure: how a message is posted is handed in. Output that the application does not read waits in a ring of fixed size,
// from which the oldest goes; few messages are on their way at once, so that a guest that prints single bytes makes few.

import type { ConsolePeer, ConsoleSize } from './console.ts';
import { VirtioConsole } from './console.ts';

const RING_BYTES = 64 * 1024;
const MESSAGES_MAX = 4;

/** From the application. `read`: it has taken one piece of output. */
export type ConsoleCommand =
  | { readonly type: 'input'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: 'read' }
  | ({ readonly type: 'resize' } & ConsoleSize);

/** To the application. `dropped`: bytes of output that went since the last time. `taken`: the guest has the last input. */
export type ConsoleEvent =
  | { readonly type: 'output'; readonly bytes: Uint8Array<ArrayBuffer>; readonly dropped: number }
  | { readonly type: 'taken' };

export class ConsoleLink implements ConsolePeer {
  readonly device: VirtioConsole;
  readonly #post: (event: ConsoleEvent, transfer: readonly ArrayBuffer[]) => void;
  readonly #ring = new Uint8Array(RING_BYTES);
  #first = 0;
  #length = 0;
  #dropped = 0;
  #messages = 0;

  constructor(size: ConsoleSize, post: (event: ConsoleEvent, transfer: readonly ArrayBuffer[]) => void) {
    this.#post = post;
    this.device = new VirtioConsole(size, this);
  }

  /** A message of the application's. */
  receive(command: ConsoleCommand): void {
    if (command.type === 'input') this.device.write(command.bytes);
    else if (command.type === 'resize') this.device.resize(command);
    else {
      this.#messages -= 1;
      this.#flush();
    }
  }

  output(bytes: Uint8Array<ArrayBuffer>): void {
    // Of more than a ring holds, the end.
    const kept = bytes.subarray(Math.max(0, bytes.length - RING_BYTES));
    const over = Math.max(0, this.#length + kept.length - RING_BYTES);
    this.#dropped += bytes.length - kept.length + over;
    this.#first = (this.#first + over) % RING_BYTES;
    const at = (this.#first + this.#length - over) % RING_BYTES;
    const head = kept.subarray(0, RING_BYTES - at);
    this.#ring.set(head, at);
    this.#ring.set(kept.subarray(head.length), 0);
    this.#length += kept.length - over;
    this.#flush();
  }

  inputTaken(): void {
    this.#post({ type: 'taken' }, []);
  }

  #flush(): void {
    while (this.#length > 0 && this.#messages < MESSAGES_MAX) {
      const count = Math.min(this.#length, RING_BYTES - this.#first);
      const bytes = this.#ring.slice(this.#first, this.#first + count);
      this.#first = (this.#first + count) % RING_BYTES;
      this.#length -= count;
      this.#messages += 1;
      this.#post({ type: 'output', bytes, dropped: this.#dropped }, [bytes.buffer]);
      this.#dropped = 0;
    }
  }
}
