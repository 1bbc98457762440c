// How vCPUs start without firmware: where tables and stacks lie in guest RAM, and the registers of each vCPU.
// Main thread. Plans first (reads the region table only, throws what is wrong), writes afterwards; what the tables contain
// is in boot-tables.ts. Source: Intel SDM volume 3, chapters 3 (segments), 4 (paging), 10.9 (mode switching).

import { HypervisorError, outOfRange } from '../../../shared/errors.ts';
import { GIB, HOLE_END, HOLE_START, hex, KIB, PAGE_SIZE } from '../../../shared/units.ts';
import type { Regs, Sregs } from '../../../shared/vcpu-state.ts';
import {
  DESCRIPTORS_SIZE,
  descriptorTables,
  flatSegment,
  identityMap,
  identityMapSize,
  realModeSegment,
  SELECTORS,
  taskSegment,
  unusableSegment,
} from './boot-tables.ts';
import type { VcpuBoot } from './image.ts';
import {
  ascending,
  describeRange,
  type GuestRange,
  type RamRegion,
  requireDisjoint,
  requireWritable,
} from './ranges.ts';

/** 16: real mode. 32: flat protected mode without paging. 64: long mode, everything identity-mapped. */
export type StartMode = 16 | 32 | 64;
/** Privilege level: the ring that the guest's first instruction runs in. */
export type StartRing = 0 | 3;

/** What a loader asks for. */
export interface BootRequest {
  readonly mode: StartMode;
  /** 3 only in mode 64. */
  readonly cpl: StartRing;
  /** Guest physical address of the first instruction. */
  readonly entry: number;
  readonly vcpus: number;
  /** What the image itself will write. */
  readonly ranges: readonly GuestRange[];
}

/** The memory that boot state is planned for. */
export interface BootMemory {
  regions(): readonly RamRegion[];
  addressLimit(): number;
  write(addr: number, from: Uint8Array): void;
}

/** A plan that holds: nothing in it can fail for reasons of the image. */
export interface BootPlan {
  /** Tables and stacks: the guest may read and write them, the image may not lie there. */
  readonly area: GuestRange;
  /** Writes the tables (mode 16 has none). */
  write(): void;
  readonly boots: readonly VcpuBoot[];
}

const STACK_MAX = 64 * KIB;
/** In real mode a stack is one segment, and conventional memory is scarce. */
const STACK_MAX_REAL = 4 * KIB;
const STACK_MIN_REAL = 512;
const REAL_MODE_LIMIT = 0x10_0000;
/** Above it a PC has its video memory and ROMs. */
const CONVENTIONAL_LIMIT = 0xa_0000;
/** Where the lower half of a 48-bit linear address space ends. */
const LINEAR_LIMIT = 2 ** 47;

const CR0_PE = 0x1n;
const CR0_MP = 0x2n;
const CR0_ET = 0x10n;
const CR0_NE = 0x20n;
const CR0_WP = 0x1_0000n;
const CR0_PG = 0x8000_0000n;
const CR4_PAE = 0x20n;
const CR4_OSFXSR = 0x200n;
const CR4_OSXMMEXCPT = 0x400n;
const EFER_LME = 0x100n;
const EFER_LMA = 0x400n;
const RFLAGS_RESERVED = 0x2n;
const RFLAGS_IOPL3 = 0x3000n;

/**
 * Places tables and stacks at the top of the lowest piece of RAM (below 3 GiB; in real mode below 640 KiB) and works out
 * each vCPU's registers. Validates everything and writes nothing.
 * @throws HypervisorError `ERR_IMAGE_RANGE`: the image is not in RAM, overlaps the boot area, or RAM is too small for it.
 * @throws RangeError `ERR_OUT_OF_RANGE`: the entry cannot be reached in that mode.
 */
export function planBoot(memory: BootMemory, request: BootRequest): BootPlan {
  const regions = memory.regions();
  for (const range of request.ranges) requireWritable(regions, range);
  const entryLimit = { 16: REAL_MODE_LIMIT, 32: HOLE_END, 64: LINEAR_LIMIT }[request.mode];
  if (request.entry >= entryLimit) {
    throw outOfRange('entry', `below ${hex(entryLimit)} in ${request.mode}-bit mode`, request.entry);
  }
  const plan = { 16: planReal, 32: planProtected, 64: planLong }[request.mode](memory, request);
  for (const range of request.ranges) requireDisjoint(range, plan.area);
  return plan;
}

function planReal(memory: BootMemory, request: BootRequest): BootPlan {
  const top = Math.min(lowestRam(memory).end, CONVENTIONAL_LIMIT);
  const stack = stackSize(top, request.vcpus, STACK_MIN_REAL, STACK_MAX_REAL);
  const area = placeBelow(top, stack * request.vcpus, lowestRam(memory), request);
  // cs:ip with the smallest segment that reaches the entry: code below 64 KiB runs at cs 0, where offsets are addresses.
  const code = realModeSegment((request.entry & 0xf_0000) >>> 4, 'code');
  const data = realModeSegment((request.entry & 0xf_0000) >>> 4, 'data');
  const boots = eachVcpu(request.vcpus, index => ({
    regs: startRegs(request.entry & 0xffff, stack, index, RFLAGS_RESERVED),
    sregs: {
      cs: code,
      ds: data,
      es: data,
      fs: data,
      gs: data,
      ss: realModeSegment((area.start + index * stack) >>> 4, 'data'),
    },
  }));
  return { area, write: () => {}, boots };
}

function planProtected(memory: BootMemory, request: BootRequest): BootPlan {
  const ram = lowestRam(memory);
  const stack = stackSize(ram.end - ram.start, request.vcpus, PAGE_SIZE, STACK_MAX);
  const area = placeBelow(ram.end, DESCRIPTORS_SIZE + stack * request.vcpus, ram, request);
  const descriptors = area.start;
  const data = flatSegment(SELECTORS.kernelData, 'data', 32, 0);
  const sregs: Partial<Sregs> = {
    cs: flatSegment(SELECTORS.kernelCode32, 'code', 32, 0),
    ...dataSegments(data),
    ...tables(descriptors),
    cr0: CR0_PE | CR0_MP | CR0_ET | CR0_NE,
    cr4: CR4_OSFXSR | CR4_OSXMMEXCPT,
  };
  const boots = eachVcpu(request.vcpus, index => {
    // i386 ABI: at a function's entry esp + 4 is a multiple of 16, as if a call had just pushed its return address.
    const top = descriptors + DESCRIPTORS_SIZE + (index + 1) * stack;
    return { regs: startRegs(request.entry, top - 4, index, RFLAGS_RESERVED), sregs };
  });
  return { area, write: () => memory.write(descriptors, descriptorTables(descriptors)), boots };
}

function planLong(memory: BootMemory, request: BootRequest): BootPlan {
  const ram = lowestRam(memory);
  // Everything below 4 GiB is mapped even where no RAM is: devices live there.
  const mapped = Math.max(HOLE_END, Math.ceil(memory.addressLimit() / GIB) * GIB);
  if (mapped > LINEAR_LIMIT) {
    throw new HypervisorError(
      'ERR_IMAGE_RANGE',
      `guest memory ends at ${hex(memory.addressLimit())}, above the ${hex(LINEAR_LIMIT)} that the identity map reaches`,
    );
  }
  const mapSize = identityMapSize(mapped);
  const stack = stackSize(ram.end - ram.start, request.vcpus, PAGE_SIZE, STACK_MAX);
  const area = placeBelow(ram.end, mapSize + DESCRIPTORS_SIZE + stack * request.vcpus, ram, request);
  const descriptors = area.start + mapSize;
  const user = request.cpl === 3;
  const data = flatSegment(user ? SELECTORS.userData : SELECTORS.kernelData, 'data', 32, request.cpl);
  const sregs: Partial<Sregs> = {
    cs: flatSegment(user ? SELECTORS.userCode64 : SELECTORS.kernelCode64, 'code', 64, request.cpl),
    ...dataSegments(data),
    ...tables(descriptors),
    cr0: CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG,
    cr3: BigInt(area.start),
    cr4: CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT,
    efer: EFER_LME | EFER_LMA,
  };
  const rflags = user ? RFLAGS_RESERVED | RFLAGS_IOPL3 : RFLAGS_RESERVED;
  const boots = eachVcpu(request.vcpus, index => {
    // x86-64 ABI: at a function's entry rsp + 8 is a multiple of 16.
    const top = descriptors + DESCRIPTORS_SIZE + (index + 1) * stack;
    return { regs: startRegs(request.entry, top - 8, index, rflags), sregs };
  });
  const write = () => {
    memory.write(area.start, identityMap(area.start, mapped, user));
    memory.write(descriptors, descriptorTables(descriptors));
  };
  return { area, write, boots };
}

/** The first piece of writable RAM, without what lies above 3 GiB. */
function lowestRam(memory: BootMemory): GuestRange {
  const writable = ascending(memory.regions()).filter(region => !region.readOnly);
  const first = writable[0];
  if (first === undefined || first.guestAddr >= HOLE_START) {
    throw new HypervisorError(
      'ERR_IMAGE_RANGE',
      `there is no writable guest RAM below ${hex(HOLE_START)} for page tables and stacks`,
    );
  }
  let end = first.guestAddr + first.size;
  for (const region of writable) if (region.guestAddr === end) end += region.size;
  return { start: first.guestAddr, end: Math.min(end, HOLE_START), what: 'the lowest RAM' };
}

/** A power of two, about a sixteenth of the memory for all stacks together, within [min, max]. */
function stackSize(bytes: number, vcpus: number, min: number, max: number): number {
  const share = Math.max(1, bytes / 16 / vcpus);
  return Math.min(max, Math.max(min, 2 ** Math.floor(Math.log2(share))));
}

function placeBelow(top: number, size: number, ram: GuestRange, request: BootRequest): GuestRange {
  const start = top - size;
  if (start < ram.start) {
    throw new HypervisorError(
      'ERR_IMAGE_RANGE',
      `${describeRange(ram)} is too small: tables and stacks of ${request.vcpus} vCPUs in ${request.mode}-bit mode need ${hex(size)} bytes below ${hex(top)}`,
      { info: { needed: size, top } },
    );
  }
  return { start, end: top, what: 'the boot area (tables and stacks)' };
}

function eachVcpu(vcpus: number, boot: (index: number) => VcpuBoot): VcpuBoot[] {
  return Array.from({ length: vcpus }, (_, index) => boot(index));
}

/** Everything zero but the entry, the stack, the flags, and rdi: the first argument of the x86-64 ABI is the vCPU's index. */
function startRegs(rip: number, rsp: number, index: number, rflags: bigint): Regs {
  return {
    rax: 0n,
    rbx: 0n,
    rcx: 0n,
    rdx: 0n,
    rsi: 0n,
    rdi: BigInt(index),
    rsp: BigInt(rsp),
    rbp: 0n,
    r8: 0n,
    r9: 0n,
    r10: 0n,
    r11: 0n,
    r12: 0n,
    r13: 0n,
    r14: 0n,
    r15: 0n,
    rip: BigInt(rip),
    rflags,
  };
}

function dataSegments(data: Sregs['ds']): Partial<Sregs> {
  return { ds: data, es: data, fs: data, gs: data, ss: data };
}

/** An empty IDT: an exception that the guest has not prepared for ends the vCPU as a triple fault instead of running wild. */
function tables(descriptors: number): Partial<Sregs> {
  return {
    gdt: { base: BigInt(descriptors), limit: SELECTORS.end - 1 },
    idt: { base: 0n, limit: 0 },
    tr: taskSegment(descriptors),
    ldt: unusableSegment(),
  };
}
