// Where the guest's console goes: to the terminal as it comes, or into memory for JSON. Main thread.

/** How much of a console is kept for JSON; the rest is counted. A guest that never stops printing must not fill our memory. */
const CAPTURE_MAX = 1 << 20;

/** What was captured. */
export interface CapturedText {
  readonly text: string;
  /** Bytes beyond the ones in `text`. */
  readonly dropped: number;
}

export interface GuestConsole {
  byte(byte: number): void;
  bytes(bytes: Uint8Array): void;
  /** A line that comes as a whole. */
  line(line: string): void;
  /** Everything that is still held goes out. */
  end(): void;
  captured(): CapturedText | undefined;
  /** Called before the first output. */
  onFirst: () => void;
}

/** Standard output. Bytes gather until the event loop is free: one write for many exits. */
export class ConsoleTerminal implements GuestConsole {
  #pending: number[] = [];
  #first = true;
  onFirst = () => {};

  byte(byte: number): void {
    if (this.#pending.length === 0) setImmediate(() => this.end());
    this.#pending.push(byte);
  }

  bytes(bytes: Uint8Array): void {
    for (const byte of bytes) this.byte(byte);
  }

  line(line: string): void {
    this.bytes(Buffer.from(`${line}\n`));
  }

  end(): void {
    if (this.#pending.length === 0) return;
    if (this.#first) this.onFirst();
    this.#first = false;
    process.stdout.write(Uint8Array.from(this.#pending));
    this.#pending = [];
  }

  captured(): undefined {
    return undefined;
  }
}

/** The first mebibyte, as UTF-8. */
export class ConsoleCapture implements GuestConsole {
  readonly #bytes: number[] = [];
  #dropped = 0;
  onFirst = () => {};

  byte(byte: number): void {
    if (this.#bytes.length < CAPTURE_MAX) this.#bytes.push(byte);
    else this.#dropped += 1;
  }

  bytes(bytes: Uint8Array): void {
    for (const byte of bytes) this.byte(byte);
  }

  line(line: string): void {
    this.bytes(Buffer.from(`${line}\n`));
  }

  end(): void {}

  captured(): CapturedText {
    return { text: Buffer.from(this.#bytes).toString('utf8'), dropped: this.#dropped };
  }
}
