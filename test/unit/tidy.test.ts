// The house rules that a machine can hold: import directions, who may include which header, one place for the addon,
// no host of a registry and no path of a machine in the tree. Reads files as text.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { projectFiles } from '../project-files.ts';

const test = suite('tidy');
const root = execFileSync('git', ['rev-parse', '--show-toplevel'], { encoding: 'utf8' }).trim();
const files = projectFiles(root);
const text = (file: string) => readFileSync(join(root, file), 'utf8');

/** Every module that a TypeScript file imports: repository paths for relative imports, package names otherwise. */
function imports(file: string): string[] {
  const found = [
    ...text(file).matchAll(
      /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g,
    ),
  ];
  return found
    .map(match => match[1] ?? match[2] ?? '')
    .map(name => (name.startsWith('.') ? normalize(join(dirname(file), name)) : name));
}

const typescript = (folder: string) => files.filter(file => file.startsWith(folder) && file.endsWith('.ts'));

function offenders(folder: string, allowed: (name: string) => boolean): string[] {
  return typescript(folder).flatMap(file =>
    imports(file)
      .filter(name => !allowed(name))
      .map(name => `${file} imports ${name}`),
  );
}

test('shared/ is pure: no module of Node, no native code, nothing above it', () => {
  assert.ok(typescript('shared/').length > 5);
  // Comlink is pure as well (and only its types are named): its endpoint and errors are shared by both ends.
  assert.equal(
    offenders('shared/', name => name.startsWith('shared/') || name === 'comlink'),
    [],
  );
});

test('src/main and src/workers never import each other', () => {
  assert.equal(
    offenders('src/main/', name => !name.startsWith('src/workers/') && !name.startsWith('test/')),
    [],
  );
  assert.equal(
    offenders('src/workers/', name => !name.startsWith('src/main/') && !name.startsWith('test/')),
    [],
  );
});

test('src/devices, which both import, imports neither', () => {
  assert.ok(typescript('src/devices/').length > 5);
  assert.equal(
    offenders('src/devices/', name => !name.startsWith('src/') || name.startsWith('src/devices/')),
    [],
  );
});

test('only native/index.ts loads the addon', () => {
  const loaders = files.filter(
    file => /\.(ts|mjs)$/.test(file) && !file.startsWith('test/') && /require\('node-gyp-build'\)/.test(text(file)),
  );
  assert.equal(loaders, ['native/index.ts']);
});

test('examples and benchmarks use the public API alone', () => {
  assert.equal(
    offenders(
      'examples/',
      name => !name.startsWith('src/') && !name.startsWith('shared/') && !name.startsWith('native/'),
    ),
    [],
  );
});

test('C++ layers point one way: sys <- kvm <- binding', () => {
  const cxx = files.filter(file => /^native\/(sys|kvm|binding)\/.*\.(cc|h)$/.test(file));
  assert.ok(cxx.length > 10);
  const including = (pattern: RegExp) => cxx.filter(file => pattern.test(text(file)));
  assert.equal(including(/#include <v8[.-]/).filter(file => !file.startsWith('native/binding/')).length, 0);
  assert.ok(including(/#include <v8\.h>/).length <= 1, 'one file includes <v8.h>');
  assert.equal(
    including(/#include <linux\/kvm\.h>/).filter(file => !file.startsWith('native/kvm/')),
    [],
  );
  assert.equal(
    including(/#include <napi\.h>/).filter(file => !file.startsWith('native/binding/')),
    [],
  );
  assert.equal(
    including(/#include "(\.\.\/)?(kvm|binding)\//).filter(file => file.startsWith('native/sys/')),
    [],
  );
  assert.equal(
    including(/#include "(\.\.\/)?binding\//).filter(file => file.startsWith('native/kvm/')),
    [],
  );
});

test('every source file says what it is for in its first lines', () => {
  const sources = files.filter(file => /^(native|shared|src|test|bench|examples)\/.*\.(ts|cc|h)$/.test(file));
  const silent = sources.filter(file => !/^(#!.*\n)?(\/\/|\/\*)/.test(text(file)));
  assert.equal(silent, []);
});

test('no registry host, no machine path, nothing left open', () => {
  const own = 'test/unit/tidy.test.ts';
  const plain = files.filter(file => file !== own && !/\.(png|svg|bin)$/.test(file));
  const hosts = new RegExp(`${['registry', 'npmjs', 'org'].join('\\.')}|deb\\.debian\\.org`);
  assert.equal(
    plain.filter(file => hosts.test(text(file))),
    [],
  );
  assert.equal(
    plain.filter(file => /(^|[^a-zA-Z0-9_./-])\/(work|root)\//m.test(text(file))),
    [],
  );
  assert.equal(
    plain.filter(file => /\.(ts|cc|h|mjs)$/.test(file) && /\b(TODO|FIXME|XXX)\b|not implemented/.test(text(file))),
    [],
  );
});

test.run();
