// The bytes of the tables that vCPUs start with: identity-mapping page tables, GDT and TSS; and the segments as KVM takes
// them. Main thread; pure. Source: Intel SDM volume 3, 3.4.5 (descriptors), 4.5 (4-level paging), 8.7 (64-bit TSS).

import { GIB, MIB, PAGE_SIZE } from '../../../shared/units.ts';
import type { Segment } from '../../../shared/vcpu-state.ts';

/**
 * Selectors of the GDT. The order is the one that SYSCALL and SYSRET want (STAR 0x08 / 0x1b), so that a guest that grows
 * system calls needs no GDT of its own. `end` is the GDT's size in bytes.
 */
export const SELECTORS = {
  kernelCode64: 0x08,
  kernelData: 0x10,
  kernelCode32: 0x18,
  userData: 0x23,
  userCode64: 0x2b,
  task: 0x30,
  end: 0x40,
} as const;

/** GDT, TSS and the TSS's I/O permission bitmap: three pages. */
export const DESCRIPTORS_SIZE = 3 * PAGE_SIZE;
const TSS_OFFSET = 0x100;
const TSS_SIZE = 104;
/** One bit per port, and a last byte of ones that the processor wants to find behind it. */
const IO_BITMAP_SIZE = 0x1_0000 / 8 + 1;

const ENTRIES = 512;
const LARGE_PAGE = 2 * MIB;
const PTE_PRESENT = 0x1n;
const PTE_WRITABLE = 0x2n;
const PTE_USER = 0x4n;
const PTE_ACCESSED = 0x20n;
const PTE_DIRTY = 0x40n;
const PTE_LARGE = 0x80n;

/** Bytes of page tables that map [0, limit) with 2 MiB pages; `limit` is a multiple of 1 GiB, at most 2^47. */
export function identityMapSize(limit: number): number {
  const directories = limit / GIB;
  return (1 + Math.ceil(directories / ENTRIES) + directories) * PAGE_SIZE;
}

/**
 * Page tables for [0, limit) at guest physical address `base`: PML4, then the PDPTs, then the page directories.
 * Accessed and dirty bits are set beforehand: the processor then never writes to the tables. They stay clean in the dirty
 * log, too, unless KVM uses nested paging, where a walk of a guest's table counts as a write to it.
 */
export function identityMap(base: number, limit: number, user: boolean): Uint8Array {
  const directories = limit / GIB;
  const pointerTables = Math.ceil(directories / ENTRIES);
  const entries = new BigUint64Array(identityMapSize(limit) / 8);
  const flags = PTE_PRESENT | PTE_WRITABLE | PTE_ACCESSED | (user ? PTE_USER : 0n);
  for (let table = 0; table < pointerTables; table++) {
    entries[table] = BigInt(base + (1 + table) * PAGE_SIZE) | flags;
  }
  const directoryBase = base + (1 + pointerTables) * PAGE_SIZE;
  for (let directory = 0; directory < directories; directory++) {
    entries[ENTRIES + directory] = BigInt(directoryBase + directory * PAGE_SIZE) | flags;
  }
  const first = (1 + pointerTables) * ENTRIES;
  for (let page = 0; page < directories * ENTRIES; page++) {
    entries[first + page] = BigInt(page * LARGE_PAGE) | flags | PTE_DIRTY | PTE_LARGE;
  }
  return new Uint8Array(entries.buffer);
}

/** GDT and TSS for guest physical address `base`. */
export function descriptorTables(base: number): Uint8Array {
  const page = new Uint8Array(DESCRIPTORS_SIZE);
  const view = new DataView(page.buffer);
  const put = (selector: number, segment: Segment) => view.setBigUint64(selector & ~7, descriptor(segment), true);
  put(SELECTORS.kernelCode64, flatSegment(SELECTORS.kernelCode64, 'code', 64, 0));
  put(SELECTORS.kernelData, flatSegment(SELECTORS.kernelData, 'data', 32, 0));
  put(SELECTORS.kernelCode32, flatSegment(SELECTORS.kernelCode32, 'code', 32, 0));
  put(SELECTORS.userData, flatSegment(SELECTORS.userData, 'data', 32, 3));
  put(SELECTORS.userCode64, flatSegment(SELECTORS.userCode64, 'code', 64, 3));
  // The 16-byte form of long mode; the base is below 3 GiB, so its upper half is 0.
  put(SELECTORS.task, taskSegment(base));
  // Ring 3 may use every port, by IOPL and by this bitmap of zeros as well: PVM takes no IOPL from a guest, but follows the bitmap.
  view.setUint16(TSS_OFFSET + 102, TSS_SIZE, true);
  page[TSS_OFFSET + TSS_SIZE + IO_BITMAP_SIZE - 1] = 0xff;
  return page;
}

/** A segment of 4 GiB (code of 64 bits: of everything) from address 0. */
export function flatSegment(selector: number, kind: 'code' | 'data', bits: 32 | 64, dpl: 0 | 3): Segment {
  return {
    base: 0n,
    limit: 0xffff_ffff,
    selector,
    type: kind === 'code' ? 0xb : 0x3,
    present: 1,
    dpl,
    db: bits === 64 ? 0 : 1,
    s: 1,
    l: bits === 64 ? 1 : 0,
    g: 1,
    avl: 0,
    unusable: 0,
  };
}

/** A real-mode segment: the base is 16 times the selector, the limit 64 KiB. */
export function realModeSegment(selector: number, kind: 'code' | 'data'): Segment {
  return {
    base: BigInt(selector * 16),
    limit: 0xffff,
    selector,
    type: kind === 'code' ? 0xb : 0x3,
    present: 1,
    dpl: 0,
    db: 0,
    s: 1,
    l: 0,
    g: 0,
    avl: 0,
    unusable: 0,
  };
}

/** TR for the TSS in the descriptor page at `base`: present and busy, because VMX refuses to enter a guest without one. */
export function taskSegment(base: number): Segment {
  return {
    base: BigInt(base + TSS_OFFSET),
    limit: TSS_SIZE + IO_BITMAP_SIZE - 1,
    selector: SELECTORS.task,
    type: 0xb,
    present: 1,
    dpl: 0,
    db: 0,
    s: 0,
    l: 0,
    g: 0,
    avl: 0,
    unusable: 0,
  };
}

/** A segment register that is not in use. */
export function unusableSegment(): Segment {
  return { base: 0n, limit: 0, selector: 0, type: 0, present: 0, dpl: 0, db: 0, s: 0, l: 0, g: 0, avl: 0, unusable: 1 };
}

/** The 8 bytes that a segment has in a descriptor table. */
export function descriptor(segment: Segment): bigint {
  const limit = BigInt(segment.g === 1 ? Math.floor(segment.limit / PAGE_SIZE) : segment.limit);
  const access = segment.type | (segment.s << 4) | (segment.dpl << 5) | (segment.present << 7);
  const flags = segment.avl | (segment.l << 1) | (segment.db << 2) | (segment.g << 3);
  return (
    (limit & 0xffffn) |
    ((segment.base & 0xff_ffffn) << 16n) |
    (BigInt(access) << 40n) |
    ((limit >> 16n) << 48n) |
    (BigInt(flags) << 52n) |
    ((segment.base >> 24n) << 56n)
  );
}
