// Reads a bzImage's setup header, which may be hostile. Main thread; pure: bytes in, what loading needs out, or a coded error
// that names field and value. The payload is not looked into: the kernel's own decompressor in the guest does that.
// Source: the kernel's Documentation/arch/x86/boot.rst.

import { HypervisorError } from '../../../shared/errors.ts';
import { HOLE_END, hex, MIB } from '../../../shared/units.ts';

/** A bzImage whose every size and offset lies within its file. Addresses guest physical, offsets and sizes in bytes. */
export interface BzImage {
  /** Boot protocol: 0x20c is 2.12. */
  readonly version: number;
  /** The protected-mode part: what is loaded. */
  readonly codeOffset: number;
  readonly codeSize: number;
  /** Where the kernel wants to run, and how much memory it needs from there on until it knows the memory map; covers the code. */
  readonly loadAddr: number;
  readonly initSize: number;
  /** The last address that a byte of the initrd may have. */
  readonly initrdAddrMax: number;
  /** The longest command line, without its NUL. */
  readonly cmdlineMax: number;
  /** The header's bytes, for offset 0x1f1 of boot_params. */
  readonly header: Uint8Array;
}

/** Where the header begins, in the file and in boot_params. */
export const SETUP_HEADER = 0x1f1;
/** Where boot_params goes on behind the header. */
const SETUP_HEADER_END_MAX = 0x290;
/** Protocol 2.12's header ends here: xloadflags and init_size are in it. */
const SETUP_HEADER_END_MIN = 0x268;
const VERSION_MIN = 0x20c;
const SECTOR = 512;
const LOADED_HIGH = 0x01;
const KERNEL_64 = 0x01;
/** The 64-bit entry's place in the protected-mode part. */
export const ENTRY_64 = 0x200;

/**
 * Checks `bytes` as a bzImage of boot protocol 2.12 or later with the 64-bit entry. `name` is for messages.
 * @throws HypervisorError `ERR_IMAGE_FORMAT`; `info` has `field` and `value`.
 */
export function parseBzImage(bytes: Uint8Array, name: string): BzImage {
  const refuse = (field: string, value: number | bigint, why: string): never => {
    throw new HypervisorError('ERR_IMAGE_FORMAT', `${name}: ${field} is ${hex(value)}: ${why}`, {
      info: { field, value: String(value) },
    });
  };
  const size = bytes.byteLength;
  if (size < SETUP_HEADER_END_MIN) refuse('file size', size, `a bzImage's header ends at ${hex(SETUP_HEADER_END_MIN)}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, size);
  const magic = view.getUint32(0x202, false);
  if (magic !== 0x4864_7253) refuse('header magic', magic, "neither 'HdrS' of a bzImage nor an ELF file");
  const flag = view.getUint16(0x1fe, true);
  if (flag !== 0xaa55) refuse('boot_flag', flag, '0xaa55 is needed');
  const version = view.getUint16(0x206, true);
  if (version < VERSION_MIN) refuse('version', version, 'boot protocol 2.12 (0x20c) or later is needed');
  const headerEnd = 0x202 + view.getUint8(0x201);
  if (headerEnd < SETUP_HEADER_END_MIN || headerEnd > SETUP_HEADER_END_MAX || headerEnd > size) {
    refuse('jump', headerEnd, `the header's end must be ${hex(SETUP_HEADER_END_MIN)} to ${hex(SETUP_HEADER_END_MAX)}`);
  }
  const loadflags = view.getUint8(0x211);
  if ((loadflags & LOADED_HIGH) === 0) refuse('loadflags', loadflags, 'LOADED_HIGH (0x1) is needed: a zImage');
  const xloadflags = view.getUint16(0x236, true);
  if ((xloadflags & KERNEL_64) === 0)
    refuse('xloadflags', xloadflags, 'XLF_KERNEL_64 (0x1) is needed: the kernel has no 64-bit entry');

  // The protocol's own rule for kernels that leave it out: 0 means 4.
  const setupSectors = view.getUint8(SETUP_HEADER) || 4;
  const codeOffset = (setupSectors + 1) * SECTOR;
  if (codeOffset + ENTRY_64 >= size)
    refuse('setup_sects', setupSectors, `the 64-bit entry would lie behind the file (${hex(size)})`);
  // What follows syssize is not the kernel's: signatures for secure boot are appended there.
  const declared = view.getUint32(0x1f4, true) * 16;
  const present = size - codeOffset;
  if (declared > present + 15) refuse('syssize', declared, `bytes, but ${hex(present)} follow the setup sectors`);
  if (declared <= ENTRY_64) refuse('syssize', declared, 'bytes do not reach the 64-bit entry');
  const codeSize = Math.min(declared, present);
  const payload = view.getUint32(0x248, true);
  const payloadSize = view.getUint32(0x24c, true);
  if (payload + payloadSize > codeSize)
    refuse('payload_offset', payload, `${hex(payloadSize)} bytes there end behind the kernel (${hex(codeSize)})`);

  const preferred = view.getBigUint64(0x258, true);
  if (preferred < BigInt(MIB) || preferred >= BigInt(HOLE_END))
    refuse('pref_address', preferred, 'a place from 1 MiB to 4 GiB is needed');
  const loadAddr = Number(preferred);
  const alignment = view.getUint32(0x230, true);
  if (alignment === 0 || !Number.isInteger(Math.log2(alignment)))
    refuse('kernel_alignment', alignment, 'a power of two is needed');
  if (loadAddr % alignment !== 0)
    refuse('pref_address', preferred, `no multiple of kernel_alignment (${hex(alignment)})`);
  const initSize = view.getUint32(0x260, true);
  if (initSize < codeSize) refuse('init_size', initSize, `less than the kernel itself (${hex(codeSize)})`);
  if (loadAddr + initSize > HOLE_END) refuse('init_size', initSize, `ends above 4 GiB from ${hex(loadAddr)} on`);
  return {
    version,
    codeOffset,
    codeSize,
    loadAddr,
    initSize,
    initrdAddrMax: view.getUint32(0x22c, true),
    cmdlineMax: view.getUint32(0x238, true),
    header: bytes.slice(SETUP_HEADER, headerEnd),
  };
}
