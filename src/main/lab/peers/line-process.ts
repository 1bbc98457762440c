// A child process that answers lines with lines: how peers in other languages are driven. Main thread.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { HypervisorError } from '../../../../shared/errors.ts';

/** One question at a time. Disposing closes its input and waits until it has ended. */
export class LineProcess implements AsyncDisposable {
  readonly #name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  #errors = '';

  constructor(file: string, args: readonly string[] = []) {
    this.#name = file;
    this.#child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#ended = once(this.#child, 'close').catch(error => {
      this.#errors += String(error);
    });
    this.#child.stderr.on('data', data => {
      this.#errors = (this.#errors + data).slice(-2000);
    });
    // Its end shows in the answer that does not come.
    this.#child.stdin.on('error', () => {});
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  /** Sends a line; resolves with the next line that it prints. @throws `ERR_LAB_ACTOR` when it ends instead */
  async ask(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    const { value, done } = await this.#answers.next();
    if (done !== true) return value;
    await this.#ended;
    throw new HypervisorError('ERR_LAB_ACTOR', `${this.#name} ended at '${line}': ${this.#errors.trim()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    this.#lines.close();
    this.#child.stdout.resume();
    await this.#ended;
  }
}
