// The PVH entry in an ELF kernel's notes, which may be hostile. Main thread; pure. parseElf() has checked the headers before.
// Sources: System V ABI, chapter 5 (note section); Xen's public/elfnote.h.

import { HypervisorError } from '../../../shared/errors.ts';
import { hex, KIB } from '../../../shared/units.ts';
import type { ElfExecutable } from './elf-headers.ts';

const PT_NOTE = 4;
const PHDR_SIZE = 56;
const NOTE_HEADER = 12;
/** Kernels have some hundred bytes; it bounds the work that a file can ask for. */
const NOTES_MAX = 64 * KIB;
const PHYS32_ENTRY = 18;
/** 'Xen' and a NUL, as a little-endian word. */
const OWNER_XEN = 0x006e_6558;

const align4 = (value: number) => Math.ceil(value / 4) * 4;

/** Where the notes of an ELF file are, as its headers say it: nothing is checked, and nothing beyond NOTES_MAX is named. */
export function noteRanges(bytes: Uint8Array): { readonly offset: number; readonly size: number }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const table = Number(view.getBigUint64(32, true));
  const headers = Array.from({ length: view.getUint16(56, true) }, (_, index) => table + index * PHDR_SIZE);
  return headers
    .filter(at => view.getUint32(at, true) === PT_NOTE)
    .map(at => ({ offset: Number(view.getBigUint64(at + 8, true)), size: Number(view.getBigUint64(at + 32, true)) }))
    .filter(({ size }) => size <= NOTES_MAX);
}

/**
 * The guest physical address in XEN_ELFNOTE_PHYS32_ENTRY, or undefined where the file has no such note.
 * `bytes` has been accepted by parseElf() as `executable`, and has its notes (noteRanges). `name` is for messages.
 * @throws HypervisorError `ERR_IMAGE_FORMAT` for notes that leave their segment or the file, and for an entry outside the segments.
 */
export function pvhEntry(bytes: Uint8Array, executable: ElfExecutable, name: string): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const refuse = (field: string, value: number | bigint, why: string): never => {
    throw new HypervisorError('ERR_IMAGE_FORMAT', `${name}: ${field} is ${hex(value)}: ${why}`, {
      info: { field, value: String(value) },
    });
  };
  const table = Number(view.getBigUint64(32, true));
  const count = view.getUint16(56, true);
  for (let index = 0; index < count; index++) {
    const at = table + index * PHDR_SIZE;
    if (view.getUint32(at, true) !== PT_NOTE) continue;
    const offset = view.getBigUint64(at + 8, true);
    const size = view.getBigUint64(at + 32, true);
    if (size > NOTES_MAX)
      refuse(`p_filesz of program header ${index}`, size, `notes have at most ${hex(NOTES_MAX)} bytes`);
    if (offset + size > BigInt(bytes.byteLength))
      refuse(`p_offset of program header ${index}`, offset, `notes of ${hex(size)} bytes there end behind the file`);
    const notes = new DataView(bytes.buffer, bytes.byteOffset + Number(offset), Number(size));
    const found = findEntry(notes, refuse);
    if (found === undefined) continue;
    const inside = executable.segments.some(
      segment => found >= segment.guestAddr && found < segment.guestAddr + segment.memorySize,
    );
    return inside ? Number(found) : refuse('XEN_ELFNOTE_PHYS32_ENTRY', found, 'in none of the loaded segments');
  }
  return undefined;
}

function findEntry(
  notes: DataView,
  refuse: (field: string, value: number | bigint, why: string) => never,
): bigint | undefined {
  let at = 0;
  while (at + NOTE_HEADER <= notes.byteLength) {
    const nameSize = notes.getUint32(at, true);
    const descriptionSize = notes.getUint32(at + 4, true);
    const description = at + NOTE_HEADER + align4(nameSize);
    if (description + descriptionSize > notes.byteLength)
      refuse('n_descsz', descriptionSize, 'the note ends behind its segment');
    const isEntry =
      notes.getUint32(at + 8, true) === PHYS32_ENTRY &&
      nameSize === 4 &&
      notes.getUint32(at + NOTE_HEADER, true) === OWNER_XEN;
    if (isEntry) {
      if (descriptionSize === 4) return BigInt(notes.getUint32(description, true));
      if (descriptionSize === 8) return notes.getBigUint64(description, true);
      refuse('n_descsz of XEN_ELFNOTE_PHYS32_ENTRY', descriptionSize, '4 or 8 bytes are needed');
    }
    at = description + align4(descriptionSize);
  }
  return undefined;
}
