// A file that appears whole or not at all: what was there stays until all is written, and nothing else is left in the folder.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AtomicFile } from '../../src/main/cli/atomic-file.ts';
import { UsageError } from '../../src/main/cli/values.ts';

const test = suite('atomic file');
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-atomic-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

test('making one writes nothing; writing replaces what was there', () => {
  const path = join(folder, 'page');
  writeFileSync(path, 'before');
  const file = new AtomicFile(path);
  assert.is(readFileSync(path, 'utf8'), 'before');
  assert.equal(readdirSync(folder), ['page']);
  file.write('after');
  assert.is(readFileSync(path, 'utf8'), 'after');
  assert.equal(readdirSync(folder), ['page']);
});

test('a place that cannot be written is wrong usage', () => {
  assert.throws(
    () => new AtomicFile(join(folder, 'none', 'page')),
    (error: Error) => error instanceof UsageError && /none.*ENOENT/.test(error.message),
  );
  assert.throws(
    () => new AtomicFile(folder),
    (error: Error) => error instanceof UsageError && /it is a directory/.test(error.message),
  );
});

test('a write that fails at its last step leaves nothing behind', () => {
  const own = join(folder, 'own');
  mkdirSync(own);
  const path = join(own, 'page');
  const file = new AtomicFile(path);
  // A folder takes the place: the rename fails.
  mkdirSync(join(path, 'inside'), { recursive: true });
  assert.throws(
    () => file.write('contents'),
    (error: NodeJS.ErrnoException) => /EISDIR|ENOTEMPTY/.test(error.code ?? ''),
  );
  assert.equal(readdirSync(own), ['page']);
});

test.run();
