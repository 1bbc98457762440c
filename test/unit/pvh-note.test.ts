// The PVH entry in an ELF kernel's notes: found among others, refused where it makes no sense, and random damage.

import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseElf } from '../../src/main/images/elf-headers.ts';
import { pvhEntry } from '../../src/main/images/elf-notes.ts';
import { ELF_ADDR, elfKernel, type Note, pvhNote } from '../linux-kernels.ts';

const test = suite('PVH note');
const SIZE = 0x100;
const code = new Uint8Array(SIZE);
const ENTRY = BigInt(ELF_ADDR) + 0x10n;
const entryOf = (bytes: Uint8Array) => pvhEntry(bytes, parseElf(bytes, 'file'), 'file');
const linuxNote: Note = { owner: 'Linux', type: 257, description: new Uint8Array(27) };

for (const size of [4, 8] as const)
  test(`an entry of ${size} bytes, behind other notes`, () => {
    const xen: Note = { type: 6, description: new Uint8Array(6) };

    assert.is(entryOf(elfKernel(code, [linuxNote, xen, pvhNote(ENTRY, size), xen])), Number(ENTRY));
  });

test('no notes, other notes, another owner: no entry', () => {
  assert.is(entryOf(elfKernel(code, [])), undefined);
  assert.is(entryOf(elfKernel(code, [linuxNote])), undefined);
  assert.is(entryOf(elfKernel(code, [{ ...pvhNote(ENTRY), owner: 'Xex' }])), undefined);
});

const refused = (what: string, bytes: Uint8Array) =>
  test(`refused: ${what}`, () => {
    try {
      entryOf(bytes);
    } catch (error) {
      assert.is((error as { code?: string }).code, 'ERR_IMAGE_FORMAT', String(error));
      return;
    }
    assert.unreachable('it was accepted');
  });

refused('an entry behind the segment', elfKernel(code, [pvhNote(BigInt(ELF_ADDR + SIZE))]));
refused('an entry beyond 2^53', elfKernel(code, [pvhNote(2n ** 63n)]));
refused('an entry of two bytes', elfKernel(code, [{ description: new Uint8Array(2) }]));
refused('a description behind the notes', elfKernel(code, [{ ...pvhNote(ENTRY), descriptionSize: 0xffff_fffc }]));
refused('notes behind the file', elfKernel(code, undefined, { noteHeader: { offset: 2n ** 63n } }));
refused('notes of 1 MiB', elfKernel(code, undefined, { noteHeader: { filesz: 2n ** 20n } }));

test('damaged files give an entry in a segment, none, or a coded error', () => {
  const file = elfKernel(code, [linuxNote, pvhNote(ENTRY)]);
  const seen = { entry: 0, none: 0, refused: 0 };
  // The ELF header and two program headers; the notes.
  const place = fc.oneof(fc.nat({ max: 64 + 2 * 56 - 1 }), fc.integer({ min: 0x200, max: 0x200 + 80 }));
  const damage = fc.array(fc.tuple(place, fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 });
  const property = fc.property(damage, changes => {
    const bytes = new Uint8Array(file);
    for (const [at, value] of changes) bytes[at] = value;
    try {
      const executable = parseElf(bytes, 'file');
      const entry = pvhEntry(bytes, executable, 'file');
      seen[entry === undefined ? 'none' : 'entry'] += 1;
      if (entry === undefined) return;
      assert.ok(executable.segments.some(s => entry >= s.guestAddr && entry < s.guestAddr + s.memorySize));
    } catch (error) {
      assert.is((error as { code?: string }).code, 'ERR_IMAGE_FORMAT', String(error));
      seen.refused += 1;
    }
  });
  fc.assert(property, { numRuns: 5000 });
  assert.ok(seen.entry > 0 && seen.none > 0 && seen.refused > 0, JSON.stringify(seen));
});

test.run();
