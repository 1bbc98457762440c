// What the user types goes to the guest's console: raw from a terminal, with an escape to quit, or as it comes from a pipe or file.
// Main thread. However the command ends, the terminal is as it was: end() restores it, and the process's own 'exit' where nobody
// came to call that.

import type { SerialConsole } from '../devices/serial.ts';

/** Ctrl-A, as in QEMU and screen. */
const ESCAPE = 0x01;
const QUIT = 'x'.charCodeAt(0);

/** What is said at the start, on a terminal. */
export const ESCAPE_HELP = 'Ctrl-A x ends the machine, Ctrl-A Ctrl-A sends Ctrl-A';

/** Finds escapes in what is typed, also when they come in two pieces. */
export class EscapeFilter {
  #escaped = false;

  /** `send`: what the guest gets, up to a quit. Ctrl-A before any other key vanishes with that key. */
  feed(bytes: Uint8Array): { readonly send: Uint8Array; readonly quit: boolean } {
    const send: number[] = [];
    for (const byte of bytes) {
      if (this.#escaped) {
        this.#escaped = false;
        if (byte === QUIT) return { send: Uint8Array.from(send), quit: true };
        if (byte === ESCAPE) send.push(byte);
      } else if (byte === ESCAPE) this.#escaped = true;
      else send.push(byte);
    }
    return { send: Uint8Array.from(send), quit: false };
  }
}

/** Standard input, as far as it is needed here: a terminal has setRawMode. */
export interface InputStream extends NodeJS.ReadableStream {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
  destroy(): unknown;
}

export class GuestInput {
  readonly #console: SerialConsole;
  readonly #input: InputStream;
  readonly #onQuit: () => void;
  readonly #filter = new EscapeFilter();
  readonly #onData = (bytes: Uint8Array): void => this.#typed(bytes);
  readonly #onDrain = (): void => void this.#input.resume();
  readonly #onExit = (): void => void this.#input.setRawMode?.(false);
  // A terminal that is gone (EIO) types nothing more; what ends then is decided by its SIGHUP.
  readonly #onError = (): void => {};
  #quit = false;

  /** Takes standard input over until end(). What is typed waits until a driver in the guest has opened the port. */
  constructor(console: SerialConsole, input: InputStream, onQuit: () => void) {
    this.#console = console;
    this.#input = input;
    this.#onQuit = onQuit;
    console.cork();
    console.once('open', () => console.uncork());
    input.on('error', this.#onError);
    if (input.isTTY === true) {
      process.on('exit', this.#onExit);
      input.setRawMode?.(true);
      console.on('drain', this.#onDrain);
      input.on('data', this.#onData);
    } else input.pipe(console, { end: false });
  }

  /** The user has asked for the end. */
  get wasQuit(): boolean {
    return this.#quit;
  }

  /** Gives standard input back: as it was, and no reason for the process to stay. Idempotent. */
  end(): void {
    this.#input.off('data', this.#onData);
    this.#input.unpipe(this.#console);
    this.#console.off('drain', this.#onDrain);
    process.off('exit', this.#onExit);
    this.#input.setRawMode?.(false);
    if (this.#input.isTTY === true) this.#input.pause();
    else this.#input.destroy();
  }

  #typed(bytes: Uint8Array): void {
    if (this.#quit) return;
    const { send, quit } = this.#filter.feed(bytes);
    // Between the guest's end and ours nobody is there to take keys.
    if (send.length > 0 && this.#console.writable && !this.#console.write(send)) this.#input.pause();
    if (!quit) return;
    this.#quit = true;
    this.#onQuit();
  }
}
