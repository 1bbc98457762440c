// A file that appears whole or not at all: written beside its place, then renamed. Main thread.
// Whether it can be written is tried before the work whose result it gets; while that goes on, nothing lies there.

import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { messageOf } from '../../../shared/errors.ts';
import { UsageError } from './values.ts';

export class AtomicFile {
  readonly path: string;

  /** @throws UsageError when no file can be made there */
  constructor(path: string) {
    this.path = path;
    try {
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) throw new Error('it is a directory');
      const trial = temporaryName(path);
      closeSync(openSync(trial, 'wx'));
      rmSync(trial);
    } catch (error) {
      throw new UsageError(`'${path}' cannot be written: ${messageOf(error)}`);
    }
  }

  /** Replaces the file, if there is one. @throws Node's error of the step that failed; nothing has changed then */
  write(contents: string): void {
    const temporary = temporaryName(this.path);
    const fd = openSync(temporary, 'wx');
    try {
      writeFileSync(fd, contents);
      fsyncSync(fd);
      renameSync(temporary, this.path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    } finally {
      closeSync(fd);
    }
  }
}

/** In the same folder: a rename does not cross file systems. */
function temporaryName(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.tmp`;
}
