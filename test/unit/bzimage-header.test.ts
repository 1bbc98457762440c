// The setup header of a bzImage: what is read, what is refused by field, and random damage.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseBzImage } from '../../src/main/images/setup-header.ts';
import { BZ_CODE_OFFSET, BZ_INIT_SIZE, BZ_LOAD_ADDR, bzImage, type SetupFields } from '../linux-kernels.ts';

const test = suite('bzImage header');
const CODE_SIZE = 0x400;
const code = new Uint8Array(CODE_SIZE);

test('sizes and places of a kernel', () => {
  const { header, ...image } = parseBzImage(bzImage(code), 'file');

  assert.equal(image, {
    version: 0x20f,
    codeOffset: BZ_CODE_OFFSET,
    codeSize: CODE_SIZE,
    loadAddr: BZ_LOAD_ADDR,
    initSize: BZ_INIT_SIZE,
    initrdAddrMax: 0x7fff_ffff,
    cmdlineMax: 2047,
  });
  assert.is(header.byteLength, 0x26c - 0x1f1);
});

test('what follows the kernel in the file, a signature say, is not loaded', () => {
  const signed = Buffer.concat([bzImage(code), new Uint8Array(100).fill(1)]);

  assert.is(parseBzImage(signed, 'file').codeSize, CODE_SIZE);
});

const refused = (what: string, field: string, fields: SetupFields) =>
  test(`refused: ${what}`, () => {
    try {
      parseBzImage(bzImage(code, fields), 'file');
    } catch (error) {
      const { code: errorCode, info } = error as { code?: string; info?: { field?: string } };
      assert.is(errorCode, 'ERR_IMAGE_FORMAT', String(error));
      assert.is(info?.field, field);
      return;
    }
    assert.unreachable('it was accepted');
  });

refused('no magic', 'header magic', { magic: 0 });
refused('no boot flag', 'boot_flag', { bootFlag: 0x55aa });
refused('boot protocol 2.11', 'version', { version: 0x20b });
refused('a header that ends before init_size', 'jump', { headerEnd: 0x260 });
refused('a header that runs into the next field of boot_params', 'jump', { headerEnd: 0x294 });
refused('a zImage', 'loadflags', { loadflags: 0 });
refused('a 32-bit kernel', 'xloadflags', { xloadflags: 0x7e });
refused('setup sectors that take the whole file', 'setup_sects', { setupSects: 3 });
refused('setup sectors 0, which means 4', 'setup_sects', { setupSects: 0 });
refused('more code than the file has', 'syssize', { syssize: CODE_SIZE / 16 + 1 });
refused('code that ends at its entry', 'syssize', { syssize: 0x20 });
refused('a payload behind the code', 'payload_offset', { payloadOffset: CODE_SIZE - 0xf });
refused('a payload of almost 4 GiB', 'payload_offset', { payloadOffset: 0xffff_fff0, payloadLength: 0xffff_fff0 });
refused('a place below 1 MiB', 'pref_address', { prefAddress: 0n });
refused('a place above 4 GiB', 'pref_address', { prefAddress: 1n << 63n });
refused('a place that is not aligned', 'pref_address', { prefAddress: 0x30_0000n });
refused('alignment 0', 'kernel_alignment', { kernelAlignment: 0 });
refused('an alignment that is no power of two', 'kernel_alignment', { kernelAlignment: 0x30_0000 });
refused('init_size less than the code', 'init_size', { initSize: CODE_SIZE - 1 });
refused('init_size beyond 4 GiB', 'init_size', { initSize: 0xffff_ffff });

/** The naive statement of what parseBzImage promises. */
function check(bytes: Uint8Array): 'accepted' | 'refused' {
  let image: ReturnType<typeof parseBzImage>;
  try {
    image = parseBzImage(bytes, 'file');
  } catch (error) {
    assert.is((error as { code?: string }).code, 'ERR_IMAGE_FORMAT', String(error));
    return 'refused';
  }
  assert.ok(image.codeOffset >= BZ_CODE_OFFSET && image.codeOffset + image.codeSize <= bytes.byteLength);
  assert.ok(image.codeSize > 0x200 && image.initSize >= image.codeSize);
  assert.ok(image.loadAddr >= 0x10_0000 && image.loadAddr + image.initSize <= 0x1_0000_0000);
  assert.ok(image.header.byteLength >= 0x268 - 0x1f1 && image.header.byteLength <= 0x290 - 0x1f1);
  return 'accepted';
}

test('damaged headers are refused or harmless', () => {
  const file = bzImage(code);
  const seen = { accepted: 0, refused: 0 };
  const damage = fc.array(fc.tuple(fc.integer({ min: 0x1f1, max: 0x290 }), fc.nat({ max: 255 })), {
    minLength: 1,
    maxLength: 5,
  });
  const property = fc.property(damage, changes => {
    const bytes = new Uint8Array(file);
    for (const [at, value] of changes) bytes[at] = value;
    seen[check(bytes)] += 1;
  });
  fc.assert(property, { numRuns: 5000 });
  assert.ok(seen.accepted > 0 && seen.refused > 0, JSON.stringify(seen));
});

test('files cut at any place and random bytes are refused or harmless', () => {
  const file = bzImage(code);
  fc.assert(
    fc.property(fc.nat({ max: file.byteLength }), size => void check(file.slice(0, size))),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 0x300 }), bytes => void check(bytes)),
    { numRuns: 1000 },
  );
});

test.run();
