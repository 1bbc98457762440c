// The guest's console beside a heat map: its last lines, made harmless, for a pane or between other lines. Main thread.

import { stripVTControlCharacters } from 'node:util';
import type { GuestConsole } from './guest-console.ts';
import { printable } from './heat-text.ts';

/** A guest that never ends a line must not fill our memory. */
const LINE_MAX = 1024;
const LINES_MAX = 100;

export class ConsoleTail implements GuestConsole {
  onFirst = () => {};
  #bytes: number[] = [];
  #lines: string[] = [];
  #fresh: string[] = [];

  byte(byte: number): void {
    if (byte === 0x0a || this.#bytes.length === LINE_MAX) this.#endLine();
    if (byte !== 0x0a) this.#bytes.push(byte);
  }

  bytes(bytes: Uint8Array): void {
    for (const byte of bytes) this.byte(byte);
  }

  line(line: string): void {
    this.bytes(Buffer.from(`${line}\n`));
  }

  end(): void {
    if (this.#bytes.length > 0) this.#endLine();
  }

  captured(): undefined {
    return undefined;
  }

  /** The last `count` lines; one that has not ended yet is among them. */
  last(count: number): string[] {
    const open = this.#bytes.length > 0 ? [readable(this.#bytes)] : [];
    return [...this.#lines, ...open].slice(-count);
  }

  /** Lines that ended since the last call; when there are too many, the newest. */
  takeFresh(): string[] {
    const fresh = this.#fresh;
    this.#fresh = [];
    return fresh;
  }

  #endLine(): void {
    const line = readable(this.#bytes);
    this.#bytes = [];
    this.#lines = [...this.#lines, line].slice(-LINES_MAX);
    this.#fresh = [...this.#fresh, line].slice(-LINES_MAX);
  }
}

function readable(bytes: readonly number[]): string {
  return printable(
    stripVTControlCharacters(Buffer.from(bytes).toString('utf8')).replace(/\r/g, '').replace(/\t/g, ' '),
  );
}
