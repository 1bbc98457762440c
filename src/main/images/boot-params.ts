// What a Linux kernel is told at its entry: boot_params ("zero page") for the 64-bit entry, hvm_start_info for PVH's. Main thread;
// pure: numbers in, bytes out. Sources: the kernel's Documentation/arch/x86/{boot,zero-page}.rst; Xen's arch-x86/hvm/start_info.h.

import { PAGE_SIZE } from '../../../shared/units.ts';
import type { MapEntry } from './linux-memory.ts';
import { SETUP_HEADER } from './setup-header.ts';

/** Addresses guest physical, sizes in bytes. */
export interface KernelFacts {
  readonly map: readonly MapEntry[];
  /** Ends with a NUL. */
  readonly cmdlineAddr: number;
  /** Below 4 GiB. */
  readonly initrd: { readonly addr: number; readonly size: number } | undefined;
  readonly rsdp: number;
}

/** "Undefined loader": none of the registered numbers is ours. */
const LOADER_UNDEFINED = 0xff;
const LOADED_HIGH = 0x01;

/** struct boot_params; `header` is the setup header of a bzImage, undefined for an ELF kernel, which has none. */
export function bootParams(facts: KernelFacts, header: Uint8Array | undefined): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  const view = new DataView(page.buffer);
  if (header === undefined) {
    view.setUint16(0x1fe, 0xaa55, true); // boot_flag
    view.setUint32(0x202, 0x5372_6448, true); // 'HdrS'
    view.setUint16(0x206, 0x20c, true); // version
    view.setUint8(0x211, LOADED_HIGH);
    view.setUint32(0x22c, 0x7fff_ffff, true); // initrd_addr_max
  } else page.set(header, SETUP_HEADER);
  view.setBigUint64(0x070, BigInt(facts.rsdp), true); // acpi_rsdp_addr
  view.setUint8(0x210, LOADER_UNDEFINED);
  view.setUint32(0x218, facts.initrd?.addr ?? 0, true);
  view.setUint32(0x21c, facts.initrd?.size ?? 0, true);
  view.setUint32(0x228, facts.cmdlineAddr, true);
  view.setUint8(0x1e8, facts.map.length);
  for (const [index, { start, end, type }] of facts.map.entries()) {
    const at = 0x2d0 + index * 20;
    view.setBigUint64(at, BigInt(start), true);
    view.setBigUint64(at + 8, BigInt(end - start), true);
    view.setUint32(at + 16, type, true);
  }
  return page;
}

const START_INFO_SIZE = 56;
const MODULE_SIZE = 32;
const MAP_ENTRY_SIZE = 24;

/** struct hvm_start_info, version 1, for address `base`; the module list and the memory map follow it. */
export function hvmStartInfo(facts: KernelFacts, base: number): Uint8Array {
  const modules = facts.initrd === undefined ? [] : [facts.initrd];
  const moduleList = START_INFO_SIZE;
  const map = moduleList + modules.length * MODULE_SIZE;
  const bytes = new Uint8Array(map + facts.map.length * MAP_ENTRY_SIZE);
  const view = new DataView(bytes.buffer);
  const put64 = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
  view.setUint32(0, 0x336e_c578, true); // magic
  view.setUint32(4, 1, true); // version
  view.setUint32(12, modules.length, true);
  put64(16, modules.length === 0 ? 0 : base + moduleList);
  put64(24, facts.cmdlineAddr);
  put64(32, facts.rsdp);
  put64(40, base + map);
  view.setUint32(48, facts.map.length, true);
  for (const [index, { addr, size }] of modules.entries()) {
    put64(moduleList + index * MODULE_SIZE, addr);
    put64(moduleList + index * MODULE_SIZE + 8, size);
  }
  for (const [index, { start, end, type }] of facts.map.entries()) {
    const at = map + index * MAP_ENTRY_SIZE;
    put64(at, start);
    put64(at + 8, end - start);
    view.setUint32(at + 16, type, true);
  }
  return bytes;
}
