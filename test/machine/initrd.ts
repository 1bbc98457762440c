// Initial file systems: busybox, some of the kernel's modules, and a script as the first process. Host side; starts programs of Debian
// packages. One is the emulated machine's, one is for the Linux guests of the tests.

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

export interface InitrdSpec {
  /** The kernel's package, unpacked. */
  readonly kernelPackage: string;
  /** A static busybox. */
  readonly busybox: string;
  /** The script that becomes /init. */
  readonly init: string;
  readonly modules: readonly string[];
}

/** Output of a program, as text. Throws with the program's messages when it fails. */
export const output = (program: string, args: readonly string[]) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** All files below `path`, or the file itself. */
export function filesIn(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path).flatMap(name => filesIn(join(path, name)));
}

/**
 * Copies the modules and what they depend on, and writes the order in which to load them: of all into `order`, of each alone into
 * `NAME.order`. Built-in ones have no file.
 */
function putModules({ kernelPackage, modules }: InitrdSpec, into: string): void {
  const available = new Map(
    filesIn(join(kernelPackage, 'lib/modules'))
      .filter(file => /\.ko(\.xz)?$/.test(file))
      .map(file => [(/([^/]+)\.ko/.exec(file)?.[1] ?? '').replaceAll('-', '_'), file]),
  );
  const all: string[] = [];
  const put = (name: string, order: string[]) => {
    const file = available.get(name);
    if (file === undefined || order.includes(name)) return;
    const dependencies = output('modinfo', ['-F', 'depends', file]).trim().split(',').filter(Boolean);
    for (const dependency of dependencies) put(dependency.replaceAll('-', '_'), order);
    order.push(name);
    if (all.includes(name)) return;
    const bytes = file.endsWith('.xz') ? execFileSync('xz', ['-dc', file], { maxBuffer: 1 << 28 }) : readFileSync(file);
    writeFileSync(join(into, `${name}.ko`), bytes);
    all.push(name);
  };
  for (const name of modules) {
    const order: string[] = [];
    put(name, order);
    writeFileSync(join(into, `${name}.order`), order.join('\n'));
  }
  writeFileSync(join(into, 'order'), all.join('\n'));
}

/** Writes the archive to `target`. */
export function makeInitrd(spec: InitrdSpec, target: string): void {
  const tree = `${target}.tree`;
  rmSync(tree, { force: true, recursive: true });
  for (const name of ['bin', 'dev', 'proc', 'sys', 'tmp', 'system', 'modules'])
    mkdirSync(join(tree, name), { recursive: true });
  copyFileSync(spec.busybox, join(tree, 'bin/busybox'));
  copyFileSync(spec.init, join(tree, 'init'));
  chmodSync(join(tree, 'init'), 0o755);
  putModules(spec, join(tree, 'modules'));
  const names = output('find', [tree, '-mindepth', '1', '-printf', '%P\n']);
  const archive = execFileSync('cpio', ['-o', '-H', 'newc', '--quiet'], {
    cwd: tree,
    input: names,
    maxBuffer: 1 << 28,
  });
  writeFileSync(target, archive);
  rmSync(tree, { recursive: true });
}
