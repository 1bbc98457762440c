// Where everything of a Linux guest lies in its memory, and the memory map that it is told. Main thread; pure: reads the region
// table, writes nothing.
//
//   0x1000   GDT                       0x20000  command line
//   0x2000   hvm_start_info            0x9fc00  reserved from here to 1 MiB, as on any PC
//   0x7000   boot_params               0xe0000  ACPI tables
//   0x9000   page tables (4 GiB)       0xf0000  MP table
//                                      0xffff0  reset vector      the kernel from 1 MiB on, the initrd as high as it may be

import { HypervisorError } from '../../../shared/errors.ts';
import { GIB, HOLE_START, hex, KIB, MIB, PAGE_SIZE } from '../../../shared/units.ts';
import { ascending, describeRange, type GuestRange, type RamRegion } from './ranges.ts';
import { RESET_VECTOR } from './reset-vector.ts';

/** Guest physical addresses of what the loader makes. Below 640 KiB: every kernel leaves that alone until it has read it. */
export const LINUX_PLACES = {
  gdt: 0x1000,
  startInfo: 0x2000,
  bootParams: 0x7000,
  pageTables: 0x9000,
  cmdline: 0x2_0000,
} as const;
/** What page tables for the 64-bit entry map. */
export const MAPPED = 4 * GIB;
/** The longest command line that the loader has room for, without its NUL. */
export const CMDLINE_ROOM = 64 * KIB - 1;

const EBDA = 0x9_fc00;
export const ACPI_TABLES: GuestRange = { start: 0xe_0000, end: 0xf_0000, what: 'the ACPI tables' };
export const MP_TABLE: GuestRange = { start: 0xf_0000, end: RESET_VECTOR, what: 'the MP table' };

/** Types of memory as E820 and hvm_start_info number them. */
export const MEMORY_RAM = 1;
export const MEMORY_RESERVED = 2;
export const MEMORY_ACPI = 3;

/** One piece of the memory map: [start, end), bytes. */
export interface MapEntry {
  readonly start: number;
  readonly end: number;
  readonly type: typeof MEMORY_RAM | typeof MEMORY_RESERVED | typeof MEMORY_ACPI;
}

/** boot_params has room for so many. */
export const MAP_ENTRIES_MAX = 128;

/**
 * The memory map: writable regions are RAM (adjacent ones are one piece), read-only ones are reserved, and so is the space from
 * 0x9fc00 to 1 MiB, but for `tablesEnd`: ACPI tables lie from 0xe0000 to there. Ascending, without overlaps. The hole below 4 GiB has no entry.
 * @throws HypervisorError `ERR_IMAGE_RANGE` for more pieces than a kernel can be told.
 */
export function memoryMap(regions: readonly RamRegion[], tablesEnd: number): MapEntry[] {
  const entries: MapEntry[] = [];
  const add = (start: number, end: number, type: MapEntry['type']) => {
    const last = entries.at(-1);
    if (start >= end) return;
    if (last !== undefined && last.end === start && last.type === type) entries[entries.length - 1] = { ...last, end };
    else entries.push({ start, end, type });
  };
  const sorted = ascending(regions).map(
    ({ guestAddr, size, readOnly }): MapEntry => ({
      start: guestAddr,
      end: guestAddr + size,
      type: readOnly ? MEMORY_RESERVED : MEMORY_RAM,
    }),
  );
  for (const { start, end, type } of sorted) add(start, Math.min(end, EBDA), type);
  const tables = Math.ceil(tablesEnd / PAGE_SIZE) * PAGE_SIZE;
  add(EBDA, 0xa_0000, MEMORY_RESERVED);
  add(ACPI_TABLES.start, tables, MEMORY_ACPI);
  add(tables, MIB, MEMORY_RESERVED);
  for (const { start, end, type } of sorted) add(Math.max(start, MIB), end, type);
  if (entries.length > MAP_ENTRIES_MAX) {
    throw new HypervisorError(
      'ERR_IMAGE_RANGE',
      `${regions.length} regions make a memory map of ${entries.length} pieces: a kernel takes ${MAP_ENTRIES_MAX}`,
      { info: { pieces: entries.length, most: MAP_ENTRIES_MAX } },
    );
  }
  return entries;
}

/**
 * A place for the initrd: page-aligned, as high as the piece of RAM goes that begins at or below 1 MiB, below 3 GiB, with its last byte at or
 * below `addrMax`, and behind the kernel.
 * @throws HypervisorError `ERR_IMAGE_RANGE` when there is no such place.
 */
export function placeInitrd(
  regions: readonly RamRegion[],
  { size, addrMax, kernelEnd }: { readonly size: number; readonly addrMax: number; readonly kernelEnd: number },
): GuestRange {
  let top = MIB;
  for (const { guestAddr, size: bytes, readOnly } of ascending(regions))
    if (!readOnly && guestAddr <= top && guestAddr + bytes > top) top = guestAddr + bytes;
  const end = Math.min(top, HOLE_START, addrMax + 1);
  const start = Math.floor((end - size) / PAGE_SIZE) * PAGE_SIZE;
  const range = { start, end: start + size, what: 'the initrd' };
  if (start < kernelEnd) {
    throw new HypervisorError(
      'ERR_IMAGE_RANGE',
      `the initrd has ${hex(size)} bytes, and between the kernel's end (${hex(kernelEnd)}) and ${hex(end)} there is no room for them: give the VM more memory`,
      { info: { size, kernelEnd, end } },
    );
  }
  return range;
}

/** @throws HypervisorError `ERR_IMAGE_RANGE` when the kernel would lie below 1 MiB, where the loader and the PC have their things. */
export function requireHigh(range: GuestRange): void {
  if (range.start >= MIB) return;
  throw new HypervisorError('ERR_IMAGE_RANGE', `${describeRange(range)} begins below 1 MiB`, {
    info: { start: range.start, end: range.end },
  });
}
