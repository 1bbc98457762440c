// How `node-kvm run` tells images apart: by their first bytes, their names, and where a PC starts.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { detectFormat } from '../../src/main/cli/image-format.ts';

const test = suite('cli format');
const KIB = 1024;

function withJump(size: number, jump: number): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes[size - 16] = jump;
  return bytes;
}

const cases: [string, Uint8Array, string, string][] = [
  ['an ELF magic', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2), 'kernel', 'elf'],
  ['a bzImage', Uint8Array.from({ length: 1024 }, (_, at) => 'HdrS'.charCodeAt(at - 0x202) || 0), 'vmlinuz', 'linux'],
  ['a WebAssembly magic', Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0), 'x.bin', 'program'],
  ['a JavaScript module by name', new Uint8Array(10), 'work.mjs', 'program'],
  ['a BIOS with a far jump', withJump(256 * KIB, 0xea), 'bios.bin', 'bios'],
  ['a BIOS with a near jump', withJump(64 * KIB, 0xe9), 'bios', 'bios'],
  ['the size of a BIOS without a jump', new Uint8Array(128 * KIB), 'disk', 'flat'],
  ['a jump in a file of another size', withJump(100 * KIB, 0xea), 'x', 'flat'],
  ['a single byte', Uint8Array.of(0xf4), 'x', 'flat'],
  ['nothing', new Uint8Array(0), 'x', 'flat'],
];
for (const [name, bytes, path, format] of cases) {
  test(`${name} is ${format}`, () => assert.is(detectFormat(bytes, path), format));
}

test.run();
