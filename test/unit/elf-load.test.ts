// ELF images in memory: segments, bss, the entry; files that cannot be read; refused images leave no trace.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { elf, KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CODE_ADDR, CODE_OFFSET, elfFile } from '../elf-image.ts';
import { codeOf, load, refusedLoad } from '../images.ts';

const test = suite('elf load');
const MIB = 2 ** 20;
const code = Uint8Array.of(0xde, 0xad, 0xbe, 0xef);
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-elf-'));
test.after(() => rmSync(folder, { recursive: true }));

test('bytes go to p_paddr and the rest of p_memsz becomes zero', async () => {
  using memory = new KvmMemory(4 * MIB);
  memory.memset(0, 0x55, 4 * MIB);
  const [boot] = await load(elf(elfFile(code, {}, [{ memsz: 0x2000n }])), memory);
  const read = new Uint8Array(0x2001);
  memory.read(CODE_ADDR, read);
  assert.equal(read.subarray(0, 4), code);
  assert.ok(read.subarray(4, 0x2000).every(byte => byte === 0));
  assert.is(read[0x2000], 0x55);
  assert.is(boot?.regs?.rip, BigInt(CODE_ADDR));
});

test('a path and a file: URL give the same as bytes', async () => {
  const path = join(folder, 'good.elf');
  writeFileSync(path, elfFile(code));
  for (const source of [path, pathToFileURL(path)]) {
    using memory = new KvmMemory(4 * MIB);
    await load(elf(source, { cpl: 3 }), memory);
    const read = new Uint8Array(4);
    memory.read(CODE_ADDR, read);
    assert.equal(read, code);
  }
});

test('bytes shared with another thread are copied before they are checked', async () => {
  const shared = new Uint8Array(new SharedArrayBuffer(CODE_OFFSET + 4));
  shared.set(elfFile(code));
  const image = elf(shared);
  shared.fill(0);
  using memory = new KvmMemory(4 * MIB);
  await load(image, memory);
});

const refusals: [string, string, () => ReturnType<typeof refusedLoad>][] = [
  ['a truncated file', 'ERR_IMAGE_FORMAT', () => refusedLoad(elf(elfFile(code).slice(0, 80)), 4 * MIB)],
  ['a segment behind RAM', 'ERR_IMAGE_RANGE', () => refusedLoad(elf(elfFile(code)), MIB)],
  [
    'a bss larger than RAM',
    'ERR_IMAGE_RANGE',
    () => refusedLoad(elf(elfFile(code, {}, [{ memsz: 2n ** 40n }])), 4 * MIB),
  ],
  [
    'a bss that reaches the tables',
    'ERR_IMAGE_RANGE',
    () => refusedLoad(elf(elfFile(code, {}, [{ memsz: BigInt(3 * MIB) }])), 4 * MIB),
  ],
  ['a file that is missing', 'ERR_IMAGE_READ', () => refusedLoad(elf(join(folder, 'none.elf')), MIB)],
  ['a folder', 'ERR_IMAGE_READ', () => refusedLoad(elf(folder), MIB)],
  ['an empty file', 'ERR_IMAGE_FORMAT', () => refusedLoad(elf(new Uint8Array(0)), MIB)],
];
for (const [name, expected, refuse] of refusals) {
  test(`${name}: ${expected}, and nothing was written`, async () => assert.is((await refuse()).code, expected));
}

test('a file that is missing is named, with its errno', async () => {
  const path = join(folder, 'none.elf');
  const error = await refusedLoad(elf(path), MIB);
  assert.is(error.errno, 2);
  assert.is(error.syscall, 'open');
  assert.ok(error.message.includes(path) && error.message.includes('ENOENT'), error.message);
});

test('a FIFO is refused and not waited for', async () => {
  const path = join(folder, 'fifo');
  execFileSync('mkfifo', [path]);
  assert.is((await refusedLoad(elf(path), MIB)).code, 'ERR_IMAGE_READ');
});

test('wrong arguments are refused at once', () => {
  const call = (source: unknown, options?: unknown) => () => elf(source as string, options as { cpl: 0 });
  assert.is(codeOf(call(42)), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOf(call('')), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOf(call('a\0b')), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOf(call(new URL('http://localhost/x'))), 'ERR_INVALID_ARG_TYPE');
  assert.is(codeOf(call('x', { mode: 64 })), 'ERR_UNKNOWN_OPTION');
  assert.is(codeOf(call('x', { cpl: 2 })), 'ERR_OUT_OF_RANGE');
  assert.is(codeOf(call('x', null)), 'ERR_INVALID_ARG_TYPE');
});

test.run();
