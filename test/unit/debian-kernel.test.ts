// Debian's kernel for virtual machines, where the emulated machine's builder has fetched it: the bzImage as it is shipped and the ELF file
// in it are accepted, with what their own tools say of them.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KvmMemory, linux } from 'node-kvm';
import * as assert from 'uvu/assert';
import { parseElf } from '../../src/main/images/elf-headers.ts';
import { pvhEntry } from '../../src/main/images/elf-notes.ts';
import { parseBzImage } from '../../src/main/images/setup-header.ts';
import { suiteUnless } from '../harness.ts';
import { load } from '../images.ts';

const boot = 'build/machine/kernel-package/boot';
const elf = 'build/machine/vmlinux';
const name = existsSync(boot) ? readdirSync(boot).find(file => file.startsWith('vmlinuz-')) : undefined;
const missing =
  name === undefined || !existsSync(elf) ? `no kernel in ${boot} (npm run test:machine fetches one)` : undefined;
const test = suiteUnless(missing, "Debian's kernel");
const bzImage = join(boot, name ?? '');
const MIB = 2 ** 20;

test('bzImage: the payload is in the code, and the kernel has room to unpack itself', () => {
  const bytes = readFileSync(bzImage);
  const image = parseBzImage(bytes, bzImage);
  const unpacked = readFileSync(elf).byteLength;

  assert.ok(image.version >= 0x20f);
  assert.is(image.loadAddr, 16 * MIB);
  assert.ok(image.codeSize > 0.9 * bytes.byteLength && image.codeSize < bytes.byteLength);
  assert.ok(image.initSize > image.codeSize && image.initSize > unpacked / 2);
  assert.is(image.cmdlineMax, 2047);
});

test('ELF: entry and segments from 16 MiB on, and a PVH entry of its own', () => {
  const bytes = readFileSync(elf);
  const executable = parseElf(bytes, elf);
  const pvh = pvhEntry(bytes, executable, elf) ?? 0;

  assert.is(executable.segments[0]?.guestAddr, 16 * MIB);
  assert.ok(executable.entry >= 16 * MIB && executable.entry < 17 * MIB);
  assert.ok(pvh >= 16 * MIB);
  assert.is.not(pvh, executable.entry);
});

for (const [kernel, entry, efer] of [
  [bzImage, 'auto', 0x500n],
  [elf, 'auto', 0n],
  [elf, 'linux64', 0x500n],
] as const)
  test(`${kernel} by '${entry}' fits into 128 MiB with an initrd`, async () => {
    using memory = new KvmMemory(128 * MIB);
    const boots = await load(linux({ kernel, entry, initrd: new Uint8Array(8 * MIB) }), memory, 2);
    assert.is(boots[0]?.sregs?.efer, efer);
    assert.is(boots[1]?.runnable, false);
  });

test('in 32 MiB there is no room: ERR_IMAGE_RANGE', async () => {
  using memory = new KvmMemory(32 * MIB);
  const error = await load(linux({ kernel: bzImage }), memory).catch((reason: { code?: string }) => reason);
  assert.is('code' in error && error.code, 'ERR_IMAGE_RANGE');
});

test.run();
