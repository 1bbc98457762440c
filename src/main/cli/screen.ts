// A whole-screen picture on a terminal: the alternate screen with a hidden cursor, given back however the process ends. Main
// thread. Escape sequences: ECMA-48 and xterm's private modes (1049 alternate screen, 25 cursor, 7 line wrap, 2026 synchronized update).

import type { WriteStream } from 'node:tty';

const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J';
const LEAVE = '\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l';
/** Bytes that the terminal has not taken yet; beyond it frames are left out rather than queued. */
const BACKLOG_MAX = 1 << 16;

export class Screen {
  readonly #stream: WriteStream;
  readonly #leave = () => this.leave();
  readonly #suspend = () => this.#stopProcess();
  readonly #continue = () => this.enter();
  #entered = false;

  constructor(stream: WriteStream) {
    this.#stream = stream;
  }

  /** A terminal that does not know its size says 0. */
  get columns(): number {
    return this.#stream.columns || 80;
  }

  get rows(): number {
    return this.#stream.rows || 24;
  }

  enter(): void {
    if (this.#entered) return;
    this.#entered = true;
    this.#stream.write(ENTER);
    process.on('exit', this.#leave);
    process.on('SIGTSTP', this.#suspend);
  }

  /** Idempotent. Also called when the process exits: writes to a terminal are synchronous. */
  leave(): void {
    if (!this.#entered) return;
    this.#entered = false;
    this.#stream.write(LEAVE);
    process.off('exit', this.#leave);
    process.off('SIGTSTP', this.#suspend);
    process.off('SIGCONT', this.#continue);
  }

  /** Replaces what is shown; lines beyond the screen are left out. */
  draw(lines: readonly string[]): void {
    if (!this.#entered || this.#stream.writableLength > BACKLOG_MAX) return;
    const text = lines.slice(0, this.rows).join('\x1b[K\r\n');
    this.#stream.write(`\x1b[?2026h\x1b[H${text}\x1b[K\x1b[0J\x1b[?2026l`);
  }

  /** Ctrl-Z: the shell gets an ordinary screen; the picture comes back with the process. */
  #stopProcess(): void {
    this.leave();
    process.once('SIGCONT', this.#continue);
    process.kill(process.pid, 'SIGSTOP');
  }
}
