// Random damage to an ELF file: parsing either refuses with a coded error or gives segments that keep every promise.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseElf } from '../../src/main/images/elf-headers.ts';
import { elfFile } from '../elf-image.ts';

const test = suite('elf fuzz');
const HEADERS = 64 + 3 * 56;
const file = elfFile(new Uint8Array(0x200), {}, [
  { memsz: 0x1000n },
  { paddr: 0x20_0000n, memsz: 0x3000n },
  { type: 4 },
]);

/** The naive statement of what parseElf promises. */
function check(bytes: Uint8Array): 'accepted' | 'refused' {
  let parsed: ReturnType<typeof parseElf>;
  try {
    parsed = parseElf(bytes, 'file');
  } catch (error) {
    assert.is((error as { code?: string }).code, 'ERR_IMAGE_FORMAT', String(error));
    return 'refused';
  }
  for (const segment of parsed.segments) {
    assert.ok(segment.memorySize > 0 && segment.fileSize <= segment.memorySize);
    assert.ok(segment.fileOffset >= 0 && segment.fileOffset + segment.fileSize <= bytes.byteLength);
    assert.ok(segment.guestAddr >= 0 && Number.isSafeInteger(segment.guestAddr + segment.memorySize));
    for (const other of parsed.segments) {
      const apart =
        other.guestAddr >= segment.guestAddr + segment.memorySize ||
        segment.guestAddr >= other.guestAddr + other.memorySize;
      assert.ok(other === segment || apart);
    }
  }
  const inside = parsed.segments.filter(s => parsed.entry >= s.guestAddr && parsed.entry < s.guestAddr + s.memorySize);
  assert.is(inside.length, 1);
  return 'accepted';
}

test('damaged headers are refused or harmless', () => {
  const seen = { accepted: 0, refused: 0 };
  const damage = fc.array(fc.tuple(fc.nat({ max: HEADERS - 1 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 });
  const property = fc.property(damage, changes => {
    const bytes = new Uint8Array(file);
    for (const [at, value] of changes) bytes[at] = value;
    seen[check(bytes)] += 1;
  });
  fc.assert(property, { numRuns: 5000 });
  assert.ok(seen.accepted > 0 && seen.refused > 0, JSON.stringify(seen));
});

test('files cut at any place and random bytes are refused or harmless', () => {
  fc.assert(
    fc.property(fc.nat({ max: file.byteLength }), size => void check(file.slice(0, size))),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 512 }), bytes => void check(bytes)),
    { numRuns: 1000 },
  );
});

test.run();
