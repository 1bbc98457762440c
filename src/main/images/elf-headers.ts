// Reads ELF64 headers that may be hostile. Main thread; pure: bytes in, a list of segments out, or a coded error that
// names field and value. Section headers are not read: nothing in them matters for running.
// Source: System V ABI, chapter 4 (object files) and 5 (program loading), and its x86-64 supplement.

import { HypervisorError } from '../../../shared/errors.ts';
import { hex } from '../../../shared/units.ts';

/** A PT_LOAD that is not empty. Sizes, offsets and addresses in bytes. */
export interface ElfSegment {
  /** Its number among the program headers. */
  readonly index: number;
  readonly guestAddr: number;
  readonly memorySize: number;
  readonly fileOffset: number;
  readonly fileSize: number;
}

/** What is needed of an executable: its entry lies in one of its segments, and segments do not overlap. */
export interface ElfExecutable {
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
}

const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
/** More than any executable has; it bounds the work that a header can ask for. */
const PHDRS_MAX = 128;
const ET_EXEC = 2;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;

/**
 * Checks `bytes` as a static x86-64 executable. `name` is for messages.
 * @throws HypervisorError `ERR_IMAGE_FORMAT`; `info` has `field` and `value`.
 */
export function parseElf(bytes: Uint8Array, name: string): ElfExecutable {
  const refuse = (field: string, value: number | bigint, why: string): never => {
    throw new HypervisorError('ERR_IMAGE_FORMAT', `${name}: ${field} is ${hex(value)}: ${why}`, {
      info: { field, value: String(value) },
    });
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < EHDR_SIZE) refuse('file size', bytes.byteLength, `an ELF64 header has ${EHDR_SIZE} bytes`);

  const expect = (field: string, value: number, wanted: number, meaning: string) => {
    if (value !== wanted) refuse(field, value, `${meaning} (${hex(wanted)}) is needed`);
  };
  expect('e_ident magic', view.getUint32(0, false), 0x7f45_4c46, '\\x7fELF');
  expect('EI_CLASS', view.getUint8(4), 2, 'ELFCLASS64');
  expect('EI_DATA', view.getUint8(5), 1, 'little-endian');
  expect('EI_VERSION', view.getUint8(6), 1, 'version 1');
  const type = view.getUint16(16, true);
  if (type === 3)
    refuse('e_type', type, 'ET_DYN is position-independent and wants a relocating loader: link with -static -no-pie');
  expect('e_type', type, ET_EXEC, 'ET_EXEC');
  expect('e_machine', view.getUint16(18, true), EM_X86_64, 'EM_X86_64');
  expect('e_version', view.getUint32(20, true), 1, 'version 1');
  expect('e_ehsize', view.getUint16(52, true), EHDR_SIZE, 'the size of an ELF64 header');
  expect('e_phentsize', view.getUint16(54, true), PHDR_SIZE, 'the size of an ELF64 program header');
  const count = view.getUint16(56, true);
  if (count === 0 || count > PHDRS_MAX) refuse('e_phnum', count, `1 to ${PHDRS_MAX} program headers are supported`);

  /** A u64 field as a number: what does not fit 2^53 cannot be a place in a file or in guest memory either. */
  const u64 = (offset: number, field: string): number => {
    const value = view.getBigUint64(offset, true);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : refuse(field, value, 'above 2^53 - 1');
  };
  const table = u64(32, 'e_phoff');
  if (table < EHDR_SIZE || table + count * PHDR_SIZE > bytes.byteLength) {
    refuse(
      'e_phoff',
      table,
      `${count} program headers there do not lie between the ELF header and the end of the file (${hex(bytes.byteLength)})`,
    );
  }

  const segments: ElfSegment[] = [];
  for (let index = 0; index < count; index++) {
    const at = table + index * PHDR_SIZE;
    const kind = view.getUint32(at, true);
    if (kind === PT_INTERP || kind === PT_DYNAMIC) {
      refuse(`p_type of program header ${index}`, kind, 'dynamically linked: link with -static -no-pie');
    }
    if (kind !== PT_LOAD) continue;
    const field = (label: string) => `${label} of program header ${index}`;
    const fileOffset = u64(at + 8, field('p_offset'));
    // Where a kernel links itself may be anywhere in the upper half; nothing is placed by it.
    const linear = view.getBigUint64(at + 16, true);
    const guestAddr = u64(at + 24, field('p_paddr'));
    const fileSize = u64(at + 32, field('p_filesz'));
    const memorySize = u64(at + 40, field('p_memsz'));
    const align = u64(at + 48, field('p_align'));
    if (fileSize > memorySize) refuse(field('p_filesz'), fileSize, `more than p_memsz (${hex(memorySize)})`);
    if (fileOffset + fileSize > bytes.byteLength) {
      refuse(
        field('p_offset'),
        fileOffset,
        `${hex(fileSize)} bytes there end behind the file (${hex(bytes.byteLength)})`,
      );
    }
    if (!Number.isSafeInteger(guestAddr + memorySize))
      refuse(field('p_paddr'), guestAddr, `${hex(memorySize)} bytes there end above 2^53 - 1`);
    if (align > 1 && memorySize > 0) {
      if (2 ** Math.round(Math.log2(align)) !== align) refuse(field('p_align'), align, 'not a power of two');
      if ((linear - BigInt(fileOffset)) % BigInt(align) !== 0n)
        refuse(
          field('p_vaddr'),
          linear,
          `not congruent to p_offset (${hex(fileOffset)}) modulo p_align (${hex(align)})`,
        );
    }
    if (memorySize > 0) segments.push({ index, guestAddr, memorySize, fileOffset, fileSize });
  }

  if (segments.length === 0) refuse('e_phnum', count, 'none of the program headers is a PT_LOAD with bytes in it');
  const sorted = [...segments].sort((a, b) => a.guestAddr - b.guestAddr);
  for (const [position, segment] of sorted.entries()) {
    const before = sorted[position - 1];
    if (before !== undefined && before.guestAddr + before.memorySize > segment.guestAddr) {
      refuse(
        `p_paddr of program header ${segment.index}`,
        segment.guestAddr,
        `overlaps program header ${before.index}, which ends at ${hex(before.guestAddr + before.memorySize)}`,
      );
    }
  }
  const entry = u64(24, 'e_entry');
  if (!segments.some(segment => entry >= segment.guestAddr && entry < segment.guestAddr + segment.memorySize)) {
    refuse('e_entry', entry, 'in none of the loaded segments (addresses are physical: link with p_paddr = p_vaddr)');
  }
  return { entry, segments };
}
