// The registers that a Linux kernel's entries want, and the GDT behind them. Main thread; pure.
// Sources: the kernel's Documentation/arch/x86/boot.rst (64-bit boot protocol); Xen's docs/misc/pvh.pandoc.

import type { Segment, Sregs } from '../../../shared/vcpu-state.ts';
import { descriptor, flatSegment, unusableSegment } from './boot-tables.ts';
import type { VcpuBoot } from './image.ts';
import { LINUX_PLACES } from './linux-memory.ts';

/** __BOOT_CS and __BOOT_DS: the selectors that the protocol names. */
const BOOT_CS = 0x10;
const BOOT_DS = 0x18;
const GDT_SIZE = 0x20;

const CR0_PE = 0x1n;
const CR0_ET = 0x10n;
const CR0_PG = 0x8000_0000n;
const CR4_PAE = 0x20n;
const EFER_LME = 0x100n;
const EFER_LMA = 0x400n;
const RFLAGS_RESERVED = 0x2n;

/** The GDT's bytes, with a code segment of so many bits. */
export function linuxGdt(bits: 32 | 64): Uint8Array {
  const bytes = new Uint8Array(GDT_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(BOOT_CS, descriptor(flatSegment(BOOT_CS, 'code', bits, 0)), true);
  view.setBigUint64(BOOT_DS, descriptor(flatSegment(BOOT_DS, 'data', 32, 0)), true);
  return bytes;
}

/** Long mode with the page tables at `LINUX_PLACES.pageTables`; rsi has boot_params. Interrupts are off. */
export function start64(entry: number): VcpuBoot {
  return {
    regs: { rip: BigInt(entry), rsi: BigInt(LINUX_PLACES.bootParams), rflags: RFLAGS_RESERVED },
    sregs: {
      ...segments(64),
      cr0: CR0_PE | CR0_ET | CR0_PG,
      cr3: BigInt(LINUX_PLACES.pageTables),
      cr4: CR4_PAE,
      efer: EFER_LME | EFER_LMA,
    },
  };
}

/** Flat protected mode without paging; ebx has hvm_start_info. Interrupts are off. */
export function startPvh(entry: number): VcpuBoot {
  return {
    regs: { rip: BigInt(entry), rbx: BigInt(LINUX_PLACES.startInfo), rflags: RFLAGS_RESERVED },
    sregs: { ...segments(32), cr0: CR0_PE | CR0_ET, cr4: 0n, efer: 0n },
  };
}

function segments(bits: 32 | 64): Partial<Sregs> {
  const data = flatSegment(BOOT_DS, 'data', 32, 0);
  return {
    cs: flatSegment(BOOT_CS, 'code', bits, 0),
    ds: data,
    es: data,
    fs: data,
    gs: data,
    ss: data,
    tr: emptyTask(),
    ldt: unusableSegment(),
    gdt: { base: BigInt(LINUX_PLACES.gdt), limit: GDT_SIZE - 1 },
    idt: { base: 0n, limit: 0 },
  };
}

/** PVH's TR, and something that VMX enters a guest with: a busy TSS of the smallest size at 0 that nothing ever switches to. */
function emptyTask(): Segment {
  return { ...unusableSegment(), limit: 0x67, type: 0xb, present: 1, unusable: 0 };
}
