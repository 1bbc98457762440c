// Which packages of node_modules the library and its tests need to run: those that package.json's `dependencies` and the
// given development packages stand on, found in package-lock.json the way Node finds them. Reads two files.

import { existsSync, readFileSync } from 'node:fs';

interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage | undefined>>;
}
interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** Folders below node_modules, each once. Optional packages that are not installed here are left out. */
export function runtimePackages(development: readonly string[]): string[] {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock;
  const found = new Set<string>();
  const visit = (name: string, from: string) => {
    // From a/node_modules/b the name is looked for in b's own node_modules, then in each folder above.
    for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
      const path = `${at === '' ? '' : `${at}/`}node_modules/${name}`;
      const locked = packages[path];
      if (locked !== undefined && existsSync(path)) {
        if (found.has(path)) return;
        found.add(path);
        for (const next of Object.keys({ ...locked.dependencies, ...locked.optionalDependencies })) visit(next, path);
        return;
      }
      if (at === '') return;
    }
  };
  for (const name of [...Object.keys(packages['']?.dependencies ?? {}), ...development]) visit(name, '');
  return [...found].sort();
}
