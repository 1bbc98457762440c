// Files for an initrd, read back by the system's cpio: contents, permissions, folders; alignment behind an archive of any length; what is refused.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extendInitrd } from 'node-kvm';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';
import { suiteUnless } from '../harness.ts';

const noCpio =
  spawnSync('cpio', ['--version']).error === undefined ? undefined : 'cpio is missing (apt-get install cpio)';
const unpacked = suiteUnless(noCpio, 'initrd, unpacked');
const test = suiteUnless(undefined, 'initrd');

unpacked('files and folders are what cpio unpacks', () => {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-initrd-'));
  try {
    const data = Uint8Array.of(1, 2, 3, 4, 5);
    const archive = extendInitrd(new Uint8Array(), [
      { path: '/opt/' },
      { path: 'opt/tool', data, mode: 0o750 },
      { path: 'read-me', data: 'ä\n' },
      { path: 'empty' },
      { path: 'read-me', data: 'the last one stays\n' },
    ]);
    execFileSync('cpio', ['-i', '-u', '--quiet'], { cwd: folder, input: archive });
    assert.ok(statSync(join(folder, 'opt')).isDirectory());
    assert.equal(new Uint8Array(readFileSync(join(folder, 'opt/tool'))), data);
    assert.is(statSync(join(folder, 'opt/tool')).mode & 0o7777, 0o750);
    assert.is(readFileSync(join(folder, 'read-me'), 'utf8'), 'the last one stays\n');
    assert.is(statSync(join(folder, 'read-me')).mode & 0o7777, 0o644);
    assert.is(statSync(join(folder, 'empty')).size, 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('behind an archive of any length: unchanged, a gap of zeroes, a header at a multiple of four', () => {
  for (let length = 1; length <= 9; length++) {
    const before = new Uint8Array(length).fill(0xaa);
    const archive = Buffer.from(extendInitrd(before, [{ path: 'a', data: 'b' }]));
    assert.equal(new Uint8Array(archive.subarray(0, length)), before);
    const header = archive.indexOf('070701');
    assert.is(header % 4, 0);
    assert.ok(header - length >= 4, 'four zeroes end an LZ4 stream');
    assert.ok(archive.subarray(length, header).every(byte => byte === 0));
    assert.is(archive.length % 4, 0);
  }
});

for (const [name, files, code] of [
  ['no path', [{}], 'ERR_INVALID_ARG_TYPE'],
  ['the root', [{ path: '/' }], 'ERR_OUT_OF_RANGE'],
  ['a way up', [{ path: 'a/../b' }], 'ERR_OUT_OF_RANGE'],
  ['a NUL', [{ path: 'a\0b' }], 'ERR_OUT_OF_RANGE'],
  ['the end of the archive as a name', [{ path: 'TRAILER!!!' }], 'ERR_OUT_OF_RANGE'],
  ['a long path', [{ path: 'x'.repeat(4096) }], 'ERR_OUT_OF_RANGE'],
  ['a folder with contents', [{ path: 'a/', data: 'b' }], 'ERR_OUT_OF_RANGE'],
  ['numbers as contents', [{ path: 'a', data: [1] }], 'ERR_INVALID_ARG_TYPE'],
  ['a mode with a type', [{ path: 'a', mode: 0o100644 }], 'ERR_OUT_OF_RANGE'],
  ['a mode that is text', [{ path: 'a', mode: '644' }], 'ERR_INVALID_ARG_TYPE'],
  ['an unknown key', [{ path: 'a', owner: 'root' }], 'ERR_UNKNOWN_OPTION'],
  ['no list', 'a', 'ERR_INVALID_ARG_TYPE'],
] as const) {
  test(`refused: ${name}`, async () => {
    assert.is(await codeOf(() => extendInitrd(new Uint8Array(), files as never)), code);
  });
}

test('refused: an initrd that is a path', async () => {
  assert.is(await codeOf(() => extendInitrd('initrd.img' as never, [])), 'ERR_INVALID_ARG_TYPE');
});

unpacked.run();
test.run();
