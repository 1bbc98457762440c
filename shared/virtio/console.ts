// virtio-console (VIRTIO 1.2, 5.3): one port, and the terminal's size. Device's thread; pure: what stands behind it is handed in.
// The guest's output is copied and given away at once; input waits here, one piece at a time, until the guest has buffers for it.

import type { Chain } from './chain.ts';
import type { VirtioContext, VirtioDevice } from './device.ts';
import type { Virtqueue } from './queue.ts';

const CONSOLE_DEVICE = 3;
const QUEUE_SIZE = 64;
const RX = 0;
const TX = 1;
const F_SIZE = 1n << 0n;
/** Bytes of one chain: a guest decides how often it writes, not how much we copy at once. */
const OUTPUT_MAX = 1024 * 1024;

/** The host's end of the console. Called on the device's thread; must not throw. */
export interface ConsolePeer {
  /** Bytes of the guest's, the peer's to keep. */
  output(bytes: Uint8Array<ArrayBuffer>): void;
  /** The guest has taken the last input: there is room for the next. */
  inputTaken(): void;
}

/** Characters, 0 to 65,535 each. */
export interface ConsoleSize {
  readonly columns: number;
  readonly rows: number;
}

export class VirtioConsole implements VirtioDevice {
  readonly name = 'virtio-console';
  readonly id = CONSOLE_DEVICE;
  readonly features = F_SIZE;
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE];
  readonly #config = new Uint8Array(12);
  readonly #peer: ConsolePeer;
  #context: VirtioContext | undefined;
  #input: Uint8Array | undefined;

  constructor(size: ConsoleSize, peer: ConsolePeer) {
    this.#peer = peer;
    this.resize(size);
    new DataView(this.#config.buffer).setUint32(4, 1, true); // ports
  }

  /** The terminal has another size: tells the driver. */
  resize({ columns, rows }: ConsoleSize): void {
    const config = new DataView(this.#config.buffer);
    config.setUint16(0, columns, true);
    config.setUint16(2, rows, true);
    this.#context?.configChanged();
  }

  /** Bytes for the guest, the device's until `inputTaken()`; not before that of the last. They wait for a driver, if need be. */
  write(bytes: Uint8Array): void {
    this.#input = bytes;
    this.#feed();
  }

  config(): Uint8Array {
    return this.#config;
  }

  start(context: VirtioContext): void {
    this.#context = context;
  }

  reset(): void {
    this.#context = undefined;
  }

  onQueue(queue: Virtqueue): void {
    if (queue.index === TX) queue.serve(chain => this.#output(chain));
    else if (queue.index === RX) this.#feed();
  }

  #output(chain: Chain): number {
    const { readableLength } = chain;
    if (readableLength > OUTPUT_MAX) this.#context?.fault(`${readableLength} bytes of output at once`);
    else if (readableLength > 0) {
      const bytes = new Uint8Array(readableLength);
      chain.read(0, bytes);
      this.#peer.output(bytes);
    }
    return 0;
  }

  #feed(): void {
    const queue = this.#context?.queue(RX);
    while (queue !== undefined && this.#input !== undefined) {
      const chain = queue.take();
      if (chain === undefined) break;
      if (chain.writableLength === 0) {
        this.#context?.fault('a buffer for input that is not to be written');
        break;
      }
      const written = chain.write(0, this.#input);
      queue.put(chain, written);
      const rest = this.#input.subarray(written);
      this.#input = rest.length === 0 ? undefined : rest;
      // The peer may come with the next one at once.
      if (this.#input === undefined) this.#peer.inputTaken();
    }
    queue?.signal();
  }
}
