// The far end of a machine's virtio console, as the application has it: a Duplex over the channel to the device. Main thread.

import { Duplex } from 'node:stream';
import type { MessagePort } from 'node:worker_threads';
import { outOfRange } from '../../../shared/errors.ts';
import type { ConsoleSize } from '../../../shared/virtio/console.ts';
import type { ConsoleCommand, ConsoleEvent } from '../../../shared/virtio/console-link.ts';

/** Bytes of input in one message. */
const PIECE_BYTES = 4096;
const CELLS_MAX = 65_535;

/** @throws RangeError for a size that a terminal cannot have */
export function checkConsoleSize({ columns, rows }: ConsoleSize): ConsoleSize {
  for (const [name, value] of Object.entries({ columns, rows }))
    if (!Number.isInteger(value) || value < 0 || value > CELLS_MAX)
      throw outOfRange(name, `an integer from 0 to ${CELLS_MAX}`, value);
  return { columns, rows };
}

/**
 * Reading gives what the guest writes, writing is what the guest reads. While nobody reads, some 64 KiB of output are kept and the oldest goes
 * (`dropped`): the guest never waits. It ends with the machine.
 */
export class VirtioConsoleStream extends Duplex {
  readonly #port: MessagePort;
  readonly #output: Uint8Array<ArrayBuffer>[] = [];
  #wanted = false;
  #dropped = 0;
  #gone = false;
  #input: { bytes: Uint8Array; readonly done: (error?: Error | null) => void } | undefined;

  /** @internal */
  constructor(port: MessagePort) {
    super({ allowHalfOpen: false, decodeStrings: true });
    this.#port = port;
    port.on('message', (event: ConsoleEvent) => this.#hear(event));
    port.on('close', () => this.#ended());
    port.unref();
  }

  /** Bytes of output that went because nobody read them. */
  get dropped(): number {
    return this.#dropped;
  }

  /** The terminal has another size: the guest's programs learn of it. @throws RangeError */
  resize(size: ConsoleSize): void {
    this.#post({ type: 'resize', ...checkConsoleSize(size) });
  }

  override _read(): void {
    this.#wanted = true;
    this.#pour();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#input = { bytes: chunk, done };
    this.#feed();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // Nobody will read any more: output vanishes, and the guest does not notice.
    for (const _ of this.#output.splice(0)) this.#post({ type: 'read' });
    const waiting = this.#input;
    this.#input = undefined;
    waiting?.done(error);
    done(error);
  }

  #hear(event: ConsoleEvent): void {
    if (event.type === 'taken') this.#feed();
    else if (this.destroyed) this.#post({ type: 'read' });
    else {
      this.#dropped += event.dropped;
      this.#output.push(event.bytes);
      this.#pour();
    }
  }

  /** The machine is gone, with what it has not read. */
  #ended(): void {
    this.#gone = true;
    this.#feed();
    this.#output.push(new Uint8Array());
    this.#pour();
  }

  #pour(): void {
    while (this.#wanted) {
      const bytes = this.#output.shift();
      if (bytes === undefined) return;
      this.#wanted = this.push(bytes.length === 0 ? null : Buffer.from(bytes.buffer, 0, bytes.length));
      this.#post({ type: 'read' });
    }
  }

  #feed(): void {
    const input = this.#input;
    if (input === undefined) return;
    if (input.bytes.length === 0 || this.#gone) {
      this.#input = undefined;
      input.done();
      return;
    }
    const bytes = new Uint8Array(input.bytes.subarray(0, PIECE_BYTES));
    input.bytes = input.bytes.subarray(bytes.length);
    this.#post({ type: 'input', bytes });
  }

  #post(command: ConsoleCommand): void {
    this.#port.postMessage(command, command.type === 'input' ? [command.bytes.buffer] : []);
  }
}
