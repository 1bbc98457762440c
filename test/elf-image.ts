// Makes ELF64 files for tests: valid by default, every field replaceable. Pure.

/** One program header; addresses and sizes in bytes. */
export interface Phdr {
  type?: number;
  offset?: bigint;
  vaddr?: bigint;
  paddr?: bigint;
  filesz?: bigint;
  memsz?: bigint;
  align?: bigint;
}

/** Fields of the ELF header that tests change. */
export interface Ehdr {
  magic?: number;
  class?: number;
  data?: number;
  identVersion?: number;
  type?: number;
  machine?: number;
  version?: number;
  entry?: bigint;
  phoff?: bigint;
  ehsize?: number;
  phentsize?: number;
  phnum?: number;
}

/** Where the code of the default segment is, in the file and in the guest. */
export const CODE_OFFSET = 0x1000;
export const CODE_ADDR = 0x10_0000;

/** An executable whose single segment holds `code` at CODE_ADDR, unless `phdrs` says something else. */
export function elfFile(code: Uint8Array, header: Ehdr = {}, phdrs: readonly Phdr[] = [{}]): Uint8Array {
  const bytes = new Uint8Array(CODE_OFFSET + code.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, header.magic ?? 0x7f454c46, false);
  view.setUint8(4, header.class ?? 2);
  view.setUint8(5, header.data ?? 1);
  view.setUint8(6, header.identVersion ?? 1);
  view.setUint16(16, header.type ?? 2, true);
  view.setUint16(18, header.machine ?? 62, true);
  view.setUint32(20, header.version ?? 1, true);
  view.setBigUint64(24, header.entry ?? BigInt(CODE_ADDR), true);
  view.setBigUint64(32, header.phoff ?? 64n, true);
  view.setUint16(52, header.ehsize ?? 64, true);
  view.setUint16(54, header.phentsize ?? 56, true);
  view.setUint16(56, header.phnum ?? phdrs.length, true);
  for (const [index, phdr] of phdrs.entries()) {
    const at = 64 + index * 56;
    const paddr = phdr.paddr ?? BigInt(CODE_ADDR);
    view.setUint32(at, phdr.type ?? 1, true);
    view.setBigUint64(at + 8, phdr.offset ?? BigInt(CODE_OFFSET), true);
    view.setBigUint64(at + 16, phdr.vaddr ?? paddr, true);
    view.setBigUint64(at + 24, paddr, true);
    view.setBigUint64(at + 32, phdr.filesz ?? BigInt(code.byteLength), true);
    view.setBigUint64(at + 40, phdr.memsz ?? BigInt(code.byteLength), true);
    view.setBigUint64(at + 48, phdr.align ?? 0x1000n, true);
  }
  bytes.set(code, CODE_OFFSET);
  return bytes;
}
