// Makes kernels for tests of the loader: a bzImage whose every header field can be replaced, and an ELF file with notes. Pure.

import { type Ehdr, elfFile, type Phdr } from './elf-image.ts';

/** Fields of the setup header that tests change. */
export interface SetupFields {
  setupSects?: number;
  bootFlag?: number;
  headerEnd?: number;
  magic?: number;
  version?: number;
  syssize?: number;
  loadflags?: number;
  initrdAddrMax?: number;
  kernelAlignment?: number;
  xloadflags?: number;
  cmdlineSize?: number;
  payloadOffset?: number;
  payloadLength?: number;
  prefAddress?: bigint;
  initSize?: number;
}

/** Where the code of the default bzImage is in the file. */
export const BZ_CODE_OFFSET = 1024;
export const BZ_LOAD_ADDR = 0x20_0000;
export const BZ_INIT_SIZE = 0x10_0000;

/** A bzImage whose protected-mode part is `code` (at least 0x210 bytes, a multiple of 16) and wants to run at 2 MiB. */
export function bzImage(code: Uint8Array, fields: SetupFields = {}): Uint8Array {
  const bytes = new Uint8Array(BZ_CODE_OFFSET + code.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint8(0x1f1, fields.setupSects ?? 1);
  view.setUint32(0x1f4, fields.syssize ?? code.byteLength / 16, true);
  view.setUint16(0x1fe, fields.bootFlag ?? 0xaa55, true);
  view.setUint8(0x200, 0xeb);
  view.setUint8(0x201, (fields.headerEnd ?? 0x26c) - 0x202);
  view.setUint32(0x202, fields.magic ?? 0x5372_6448, true);
  view.setUint16(0x206, fields.version ?? 0x20f, true);
  view.setUint8(0x211, fields.loadflags ?? 1);
  view.setUint32(0x22c, fields.initrdAddrMax ?? 0x7fff_ffff, true);
  view.setUint32(0x230, fields.kernelAlignment ?? 0x20_0000, true);
  view.setUint8(0x234, 1);
  view.setUint16(0x236, fields.xloadflags ?? 0x7f, true);
  view.setUint32(0x238, fields.cmdlineSize ?? 2047, true);
  view.setUint32(0x248, fields.payloadOffset ?? 0x200, true);
  view.setUint32(0x24c, fields.payloadLength ?? 0x10, true);
  view.setBigUint64(0x258, fields.prefAddress ?? BigInt(BZ_LOAD_ADDR), true);
  view.setUint32(0x260, fields.initSize ?? BZ_INIT_SIZE, true);
  bytes.set(code, BZ_CODE_OFFSET);
  return bytes;
}

/** One note of an ELF file. */
export interface Note {
  readonly owner?: string;
  readonly type?: number;
  readonly description?: Uint8Array;
  /** Instead of the description's real size. */
  readonly descriptionSize?: number;
}

/** The PVH note, with an entry of 4 or 8 bytes. */
export function pvhNote(entry: bigint, size: 4 | 8 = 8): Note {
  const description = new Uint8Array(size);
  const view = new DataView(description.buffer);
  if (size === 8) view.setBigUint64(0, entry, true);
  else view.setUint32(0, Number(entry), true);
  return { description };
}

function noteBytes({ owner = 'Xen', type = 18, description = new Uint8Array(0), descriptionSize }: Note): Uint8Array {
  const name = new TextEncoder().encode(`${owner}\0`);
  const pad = (size: number) => Math.ceil(size / 4) * 4;
  const bytes = new Uint8Array(12 + pad(name.byteLength) + pad(description.byteLength));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, name.byteLength, true);
  view.setUint32(4, descriptionSize ?? description.byteLength, true);
  view.setUint32(8, type, true);
  bytes.set(name, 12);
  bytes.set(description, 12 + pad(name.byteLength));
  return bytes;
}

const NOTES_OFFSET = 0x200;
/** Where the code of an ELF kernel lies, by elfFile()'s choice. */
export const ELF_ADDR = 0x10_0000;

/** An ELF kernel with one segment of `code` at 1 MiB and the notes in a PT_NOTE; `segment` and `noteHeader` replace fields of the two headers. */
export function elfKernel(
  code: Uint8Array,
  notes: readonly Note[] = [pvhNote(BigInt(ELF_ADDR) + 0x10n)],
  { header = {}, segment = {}, noteHeader = {} }: { header?: Ehdr; segment?: Phdr; noteHeader?: Phdr } = {},
): Uint8Array {
  const content = Buffer.concat(notes.map(noteBytes));
  const note: Phdr = {
    type: 4,
    offset: BigInt(NOTES_OFFSET),
    filesz: BigInt(content.byteLength),
    memsz: BigInt(content.byteLength),
    align: 4n,
    ...noteHeader,
  };
  const bytes = elfFile(code, header, notes.length === 0 ? [segment] : [segment, note]);
  bytes.set(content, NOTES_OFFSET);
  return bytes;
}
