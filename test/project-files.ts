// The project's own files, as a clone has them, and those that are about to be committed: nothing that was built or downloaded.

import { execFileSync } from 'node:child_process';

/** Paths within `root`, the project's folder. */
export function projectFiles(root: string): string[] {
  return execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
    .split('\n')
    .filter(Boolean);
}
