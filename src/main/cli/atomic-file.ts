// A file that appears whole or not at all: written beside its place, then renamed. Main thread.
// Opened before the work whose result it gets, so that a path that cannot be written is known then.

import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { UsageError } from './values.ts';

export class AtomicFile {
  readonly path: string;
  readonly #temporary: string;
  readonly #discard = () => this.discard();
  #fd: number | undefined;

  /** @throws UsageError when no file can be made there */
  constructor(path: string) {
    this.path = path;
    this.#temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
      throw new UsageError(`'${path}' is a directory: name a file`);
    try {
      this.#fd = openSync(this.#temporary, 'wx', 0o644);
    } catch (error) {
      throw new UsageError(`'${path}' cannot be written: ${(error as Error).message}`);
    }
    process.on('exit', this.#discard);
  }

  /** Gives the file its contents and its name. Once. */
  commit(contents: string): void {
    if (this.#fd === undefined) return;
    writeFileSync(this.#fd, contents);
    fsyncSync(this.#fd);
    renameSync(this.#temporary, this.path);
    this.#close();
  }

  /** Leaves nothing behind, unless it was committed. Idempotent. */
  discard(): void {
    if (this.#fd === undefined) return;
    this.#close();
    rmSync(this.#temporary, { force: true });
  }

  #close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    process.off('exit', this.#discard);
  }
}
