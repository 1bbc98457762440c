// Where programs of the machine are. Main thread; reads folders only.

import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The first executable file by this name in the folders; undefined: there is none. */
export function findProgram(name: string, folders: readonly string[]): string | undefined {
  return folders.map(folder => join(folder, name)).find(isExecutable);
}

/** The folders of PATH. */
export const searchPath = (): string[] => (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
