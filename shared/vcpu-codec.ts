// The bytes of a vCPU's state: each struct of vcpu-state.ts to and from what KVM_GET_x / KVM_SET_x take. Every thread; pure.
// Offsets and sizes come from the generated ABI; nothing here knows a number of its own.

import { invalidType, outOfRange } from './errors.ts';
import {
  KVM_CPUID_ENTRY2,
  KVM_DEBUGREGS,
  KVM_DTABLE,
  KVM_FPU,
  KVM_GUEST_DEBUG,
  KVM_GUESTDBG,
  KVM_MP_STATE,
  KVM_MP_STATE_STRUCT,
  KVM_REGS,
  KVM_SEGMENT,
  KVM_SREGS,
  KVM_VCPU_EVENTS,
  KVM_XCR,
  KVM_XCRS,
} from './generated/kvm-abi.ts';
import { checkFields, checkList, narrow, wide } from './vcpu-fields.ts';
import type {
  CpuidEntry,
  DebugRegs,
  DescriptorTable,
  Fpu,
  GuestDebug,
  MpState,
  Regs,
  Segment,
  Sregs,
  VcpuEvents,
  Xcr,
} from './vcpu-state.ts';

export const REG_NAMES = [
  'rax',
  'rbx',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'rsp',
  'rbp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rip',
  'rflags',
] as const satisfies readonly (keyof Regs)[];
export const SEGMENT_NAMES = [
  'cs',
  'ds',
  'es',
  'fs',
  'gs',
  'ss',
  'tr',
  'ldt',
] as const satisfies readonly (keyof Sregs)[];
export const CONTROL_NAMES = [
  'cr0',
  'cr2',
  'cr3',
  'cr4',
  'cr8',
  'efer',
  'apicBase',
] as const satisfies readonly (keyof Sregs)[];
const TABLE_NAMES = ['gdt', 'idt'] as const;
const SEGMENT_BYTES = [
  'type',
  'present',
  'dpl',
  'db',
  's',
  'l',
  'g',
  'avl',
  'unusable',
] as const satisfies readonly (keyof Segment)[];

const LITTLE_ENDIAN = true;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function putU64(view: DataView, offset: number, value: bigint, name: string): void {
  view.setBigUint64(offset, wide(value, name), LITTLE_ENDIAN);
}

export function decodeRegs(bytes: Uint8Array): Regs {
  const view = viewOf(bytes);
  const regs: Partial<Regs> = {};
  for (const name of REG_NAMES) regs[name] = view.getBigUint64(KVM_REGS[name], LITTLE_ENDIAN);
  // SAFETY: REG_NAMES is checked by the compiler to hold only keys of Regs, and the unit test that it holds all of them.
  return regs as Regs;
}

/** Writes the fields that are present over `bytes` (a KVM_GET_REGS result, or zeros). */
export function encodeRegs(regs: Partial<Regs>, bytes: Uint8Array = new Uint8Array(KVM_REGS.SIZE)): Uint8Array {
  checkFields(regs, 'regs', REG_NAMES);
  const view = viewOf(bytes);
  for (const name of REG_NAMES) {
    const value = regs[name];
    if (value !== undefined) putU64(view, KVM_REGS[name], value, name);
  }
  return bytes;
}

function decodeSegment(view: DataView, at: number): Segment {
  const byte = (name: (typeof SEGMENT_BYTES)[number]): number => view.getUint8(at + KVM_SEGMENT[name]);
  return {
    base: view.getBigUint64(at + KVM_SEGMENT.base, LITTLE_ENDIAN),
    limit: view.getUint32(at + KVM_SEGMENT.limit, LITTLE_ENDIAN),
    selector: view.getUint16(at + KVM_SEGMENT.selector, LITTLE_ENDIAN),
    type: byte('type'),
    present: byte('present'),
    dpl: byte('dpl'),
    db: byte('db'),
    s: byte('s'),
    l: byte('l'),
    g: byte('g'),
    avl: byte('avl'),
    unusable: byte('unusable'),
  };
}

function encodeSegment(view: DataView, at: number, segment: Segment, name: string): void {
  checkFields(segment, name, ['base', 'limit', 'selector', ...SEGMENT_BYTES]);
  putU64(view, at + KVM_SEGMENT.base, segment.base, `${name}.base`);
  view.setUint32(at + KVM_SEGMENT.limit, narrow(segment.limit, 32, `${name}.limit`), LITTLE_ENDIAN);
  view.setUint16(at + KVM_SEGMENT.selector, narrow(segment.selector, 16, `${name}.selector`), LITTLE_ENDIAN);
  for (const field of SEGMENT_BYTES)
    view.setUint8(at + KVM_SEGMENT[field], narrow(segment[field], 8, `${name}.${field}`));
}

function decodeTable(view: DataView, at: number): DescriptorTable {
  return {
    base: view.getBigUint64(at + KVM_DTABLE.base, LITTLE_ENDIAN),
    limit: view.getUint16(at + KVM_DTABLE.limit, LITTLE_ENDIAN),
  };
}

export function decodeSregs(bytes: Uint8Array): Sregs {
  const view = viewOf(bytes);
  const sregs: Partial<Sregs> = {};
  for (const name of SEGMENT_NAMES) sregs[name] = decodeSegment(view, KVM_SREGS[name]);
  for (const name of TABLE_NAMES) sregs[name] = decodeTable(view, KVM_SREGS[name]);
  for (const name of CONTROL_NAMES) sregs[name] = view.getBigUint64(KVM_SREGS[name], LITTLE_ENDIAN);
  // SAFETY: the three name lists together are the keys of Sregs; the unit test proves it.
  return sregs as Sregs;
}

/** Writes the fields that are present over `bytes`, which must be a KVM_GET_SREGS result: it holds pending interrupts too. */
export function encodeSregs(sregs: Partial<Sregs>, bytes: Uint8Array = new Uint8Array(KVM_SREGS.SIZE)): Uint8Array {
  checkFields(sregs, 'sregs', [...SEGMENT_NAMES, ...TABLE_NAMES, ...CONTROL_NAMES]);
  const view = viewOf(bytes);
  for (const name of SEGMENT_NAMES) {
    const segment = sregs[name];
    if (segment !== undefined) encodeSegment(view, KVM_SREGS[name], segment, name);
  }
  for (const name of TABLE_NAMES) {
    const table = sregs[name];
    if (table === undefined) continue;
    checkFields(table, name, ['base', 'limit']);
    putU64(view, KVM_SREGS[name] + KVM_DTABLE.base, table.base, `${name}.base`);
    view.setUint16(KVM_SREGS[name] + KVM_DTABLE.limit, narrow(table.limit, 16, `${name}.limit`), LITTLE_ENDIAN);
  }
  for (const name of CONTROL_NAMES) {
    const value = sregs[name];
    if (value !== undefined) putU64(view, KVM_SREGS[name], value, name);
  }
  return bytes;
}

function slices(bytes: Uint8Array, at: number, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => bytes.slice(at + i * 16, at + i * 16 + 16));
}

export function decodeFpu(bytes: Uint8Array): Fpu {
  const view = viewOf(bytes);
  return {
    fpr: slices(bytes, KVM_FPU.fpr, 8),
    fcw: view.getUint16(KVM_FPU.fcw, LITTLE_ENDIAN),
    fsw: view.getUint16(KVM_FPU.fsw, LITTLE_ENDIAN),
    ftwx: view.getUint8(KVM_FPU.ftwx),
    lastOpcode: view.getUint16(KVM_FPU.lastOpcode, LITTLE_ENDIAN),
    lastIp: view.getBigUint64(KVM_FPU.lastIp, LITTLE_ENDIAN),
    lastDp: view.getBigUint64(KVM_FPU.lastDp, LITTLE_ENDIAN),
    xmm: slices(bytes, KVM_FPU.xmm, 16),
    mxcsr: view.getUint32(KVM_FPU.mxcsr, LITTLE_ENDIAN),
  };
}

function putRegisters(
  bytes: Uint8Array,
  at: number,
  registers: readonly Uint8Array[],
  count: number,
  name: string,
): void {
  checkList(registers, name, count);
  if (registers.length !== count) throw outOfRange(`${name}.length`, `${count}`, registers.length);
  registers.forEach((register, i) => {
    if (!(register instanceof Uint8Array)) throw invalidType(`${name}[${i}]`, 'a Uint8Array', register);
    if (register.length !== 16) throw outOfRange(`${name}[${i}].length`, '16', register.length);
    bytes.set(register, at + i * 16);
  });
}

const FPU_FIELDS = [
  'fpr',
  'fcw',
  'fsw',
  'ftwx',
  'lastOpcode',
  'lastIp',
  'lastDp',
  'xmm',
  'mxcsr',
] as const satisfies readonly (keyof Fpu)[];

export function encodeFpu(fpu: Partial<Fpu>, bytes: Uint8Array = new Uint8Array(KVM_FPU.SIZE)): Uint8Array {
  checkFields(fpu, 'fpu', FPU_FIELDS);
  const view = viewOf(bytes);
  if (fpu.fpr !== undefined) putRegisters(bytes, KVM_FPU.fpr, fpu.fpr, 8, 'fpr');
  if (fpu.xmm !== undefined) putRegisters(bytes, KVM_FPU.xmm, fpu.xmm, 16, 'xmm');
  if (fpu.fcw !== undefined) view.setUint16(KVM_FPU.fcw, narrow(fpu.fcw, 16, 'fcw'), LITTLE_ENDIAN);
  if (fpu.fsw !== undefined) view.setUint16(KVM_FPU.fsw, narrow(fpu.fsw, 16, 'fsw'), LITTLE_ENDIAN);
  if (fpu.ftwx !== undefined) view.setUint8(KVM_FPU.ftwx, narrow(fpu.ftwx, 8, 'ftwx'));
  if (fpu.lastOpcode !== undefined)
    view.setUint16(KVM_FPU.lastOpcode, narrow(fpu.lastOpcode, 16, 'lastOpcode'), LITTLE_ENDIAN);
  if (fpu.lastIp !== undefined) putU64(view, KVM_FPU.lastIp, fpu.lastIp, 'lastIp');
  if (fpu.lastDp !== undefined) putU64(view, KVM_FPU.lastDp, fpu.lastDp, 'lastDp');
  if (fpu.mxcsr !== undefined) view.setUint32(KVM_FPU.mxcsr, narrow(fpu.mxcsr, 32, 'mxcsr'), LITTLE_ENDIAN);
  return bytes;
}

export function decodeDebugRegs(bytes: Uint8Array): DebugRegs {
  const view = viewOf(bytes);
  const db = (i: number): bigint => view.getBigUint64(KVM_DEBUGREGS.db + i * 8, LITTLE_ENDIAN);
  return {
    db: [db(0), db(1), db(2), db(3)],
    dr6: view.getBigUint64(KVM_DEBUGREGS.dr6, LITTLE_ENDIAN),
    dr7: view.getBigUint64(KVM_DEBUGREGS.dr7, LITTLE_ENDIAN),
  };
}

export function encodeDebugRegs(
  regs: Partial<DebugRegs>,
  bytes: Uint8Array = new Uint8Array(KVM_DEBUGREGS.SIZE),
): Uint8Array {
  checkFields(regs, 'debugRegs', ['db', 'dr6', 'dr7']);
  if (regs.db !== undefined) checkList(regs.db, 'db', 4);
  const view = viewOf(bytes);
  regs.db?.forEach((value, i) => {
    putU64(view, KVM_DEBUGREGS.db + i * 8, value, `dr${i}`);
  });
  if (regs.dr6 !== undefined) putU64(view, KVM_DEBUGREGS.dr6, regs.dr6, 'dr6');
  if (regs.dr7 !== undefined) putU64(view, KVM_DEBUGREGS.dr7, regs.dr7, 'dr7');
  return bytes;
}

export function decodeXcrs(bytes: Uint8Array): Xcr[] {
  const view = viewOf(bytes);
  const count = Math.min(view.getUint32(KVM_XCRS.nrXcrs, LITTLE_ENDIAN), 16);
  return Array.from({ length: count }, (_, i) => {
    const at = KVM_XCRS.xcrs + i * KVM_XCR.SIZE;
    return {
      index: view.getUint32(at + KVM_XCR.xcr, LITTLE_ENDIAN),
      value: view.getBigUint64(at + KVM_XCR.value, LITTLE_ENDIAN),
    };
  });
}

export function encodeXcrs(xcrs: readonly Xcr[]): Uint8Array {
  checkList(xcrs, 'xcrs', 16);
  const bytes = new Uint8Array(KVM_XCRS.SIZE);
  const view = viewOf(bytes);
  view.setUint32(KVM_XCRS.nrXcrs, xcrs.length, LITTLE_ENDIAN);
  xcrs.forEach((xcr, i) => {
    checkFields(xcr, `xcrs[${i}]`, ['index', 'value']);
    const at = KVM_XCRS.xcrs + i * KVM_XCR.SIZE;
    view.setUint32(at + KVM_XCR.xcr, narrow(xcr.index, 32, `xcrs[${i}].index`), LITTLE_ENDIAN);
    putU64(view, at + KVM_XCR.value, xcr.value, `xcrs[${i}].value`);
  });
  return bytes;
}

export function decodeEvents(bytes: Uint8Array): VcpuEvents {
  const view = viewOf(bytes);
  const E = KVM_VCPU_EVENTS;
  return {
    exception: {
      injected: view.getUint8(E.exceptionInjected),
      nr: view.getUint8(E.exceptionNr),
      hasErrorCode: view.getUint8(E.exceptionHasErrorCode),
      pending: view.getUint8(E.exceptionPending),
      errorCode: view.getUint32(E.exceptionErrorCode, LITTLE_ENDIAN),
    },
    interrupt: {
      injected: view.getUint8(E.interruptInjected),
      nr: view.getUint8(E.interruptNr),
      soft: view.getUint8(E.interruptSoft),
      shadow: view.getUint8(E.interruptShadow),
    },
    nmi: {
      injected: view.getUint8(E.nmiInjected),
      pending: view.getUint8(E.nmiPending),
      masked: view.getUint8(E.nmiMasked),
    },
    sipiVector: view.getUint32(E.sipiVector, LITTLE_ENDIAN),
    flags: view.getUint32(E.flags, LITTLE_ENDIAN),
    smi: {
      smm: view.getUint8(E.smiSmm),
      pending: view.getUint8(E.smiPending),
      smmInsideNmi: view.getUint8(E.smiSmmInsideNmi),
      latchedInit: view.getUint8(E.smiLatchedInit),
    },
    tripleFault: view.getUint8(E.tripleFaultPending),
    exceptionHasPayload: view.getUint8(E.exceptionHasPayload),
    exceptionPayload: view.getBigUint64(E.exceptionPayload, LITTLE_ENDIAN),
  };
}

const EVENT_FIELDS = [
  'exception',
  'interrupt',
  'nmi',
  'sipiVector',
  'flags',
  'smi',
  'tripleFault',
  'exceptionHasPayload',
  'exceptionPayload',
] as const satisfies readonly (keyof VcpuEvents)[];

export function encodeEvents(events: VcpuEvents): Uint8Array {
  checkFields(events, 'events', EVENT_FIELDS);
  for (const part of ['exception', 'interrupt', 'nmi', 'smi'] as const) {
    if (typeof events[part] !== 'object' || events[part] === null) throw invalidType(part, 'an object', events[part]);
  }
  const bytes = new Uint8Array(KVM_VCPU_EVENTS.SIZE);
  const view = viewOf(bytes);
  const E = KVM_VCPU_EVENTS;
  const u8 = (at: number, value: number, name: string): void => view.setUint8(at, narrow(value, 8, name));
  const u32 = (at: number, value: number, name: string): void =>
    view.setUint32(at, narrow(value, 32, name), LITTLE_ENDIAN);
  u8(E.exceptionInjected, events.exception.injected, 'exception.injected');
  u8(E.exceptionNr, events.exception.nr, 'exception.nr');
  u8(E.exceptionHasErrorCode, events.exception.hasErrorCode, 'exception.hasErrorCode');
  u8(E.exceptionPending, events.exception.pending, 'exception.pending');
  u32(E.exceptionErrorCode, events.exception.errorCode, 'exception.errorCode');
  u8(E.interruptInjected, events.interrupt.injected, 'interrupt.injected');
  u8(E.interruptNr, events.interrupt.nr, 'interrupt.nr');
  u8(E.interruptSoft, events.interrupt.soft, 'interrupt.soft');
  u8(E.interruptShadow, events.interrupt.shadow, 'interrupt.shadow');
  u8(E.nmiInjected, events.nmi.injected, 'nmi.injected');
  u8(E.nmiPending, events.nmi.pending, 'nmi.pending');
  u8(E.nmiMasked, events.nmi.masked, 'nmi.masked');
  u32(E.sipiVector, events.sipiVector, 'sipiVector');
  u32(E.flags, events.flags, 'flags');
  u8(E.smiSmm, events.smi.smm, 'smi.smm');
  u8(E.smiPending, events.smi.pending, 'smi.pending');
  u8(E.smiSmmInsideNmi, events.smi.smmInsideNmi, 'smi.smmInsideNmi');
  u8(E.smiLatchedInit, events.smi.latchedInit, 'smi.latchedInit');
  u8(E.tripleFaultPending, events.tripleFault, 'tripleFault');
  u8(E.exceptionHasPayload, events.exceptionHasPayload, 'exceptionHasPayload');
  putU64(view, E.exceptionPayload, events.exceptionPayload, 'exceptionPayload');
  return bytes;
}

const MP_STATES: readonly [MpState, number][] = [
  ['runnable', KVM_MP_STATE.RUNNABLE],
  ['uninitialized', KVM_MP_STATE.UNINITIALIZED],
  ['init-received', KVM_MP_STATE.INIT_RECEIVED],
  ['halted', KVM_MP_STATE.HALTED],
  ['sipi-received', KVM_MP_STATE.SIPI_RECEIVED],
];

export function decodeMpState(bytes: Uint8Array): MpState {
  const value = viewOf(bytes).getUint32(KVM_MP_STATE_STRUCT.mpState, LITTLE_ENDIAN);
  const found = MP_STATES.find(([, number]) => number === value);
  if (found === undefined) throw outOfRange('mp_state', 'a state of x86', value);
  return found[0];
}

export function encodeMpState(state: MpState): Uint8Array {
  const found = MP_STATES.find(([name]) => name === state);
  if (found === undefined) throw outOfRange('mpState', `one of ${MP_STATES.map(([name]) => name).join(', ')}`, state);
  const bytes = new Uint8Array(KVM_MP_STATE_STRUCT.SIZE);
  viewOf(bytes).setUint32(KVM_MP_STATE_STRUCT.mpState, found[1], LITTLE_ENDIAN);
  return bytes;
}

export function encodeGuestDebug(debug: GuestDebug): Uint8Array {
  checkFields(debug, 'debug', ['singleStep', 'softwareBreakpoints', 'hardware']);
  const bytes = new Uint8Array(KVM_GUEST_DEBUG.SIZE);
  const view = viewOf(bytes);
  let control = 0;
  if (debug.singleStep === true) control |= KVM_GUESTDBG.ENABLE | KVM_GUESTDBG.SINGLESTEP;
  if (debug.softwareBreakpoints === true) control |= KVM_GUESTDBG.ENABLE | KVM_GUESTDBG.USE_SW_BP;
  if (debug.hardware !== undefined) {
    control |= KVM_GUESTDBG.ENABLE | KVM_GUESTDBG.USE_HW_BP;
    checkFields(debug.hardware, 'hardware', ['addresses', 'dr7']);
    checkList(debug.hardware.addresses, 'hardware.addresses', 4);
    debug.hardware.addresses.forEach((address, i) => {
      putU64(view, KVM_GUEST_DEBUG.debugreg + i * 8, address, `hardware.addresses[${i}]`);
    });
    putU64(view, KVM_GUEST_DEBUG.debugreg + 7 * 8, debug.hardware.dr7, 'hardware.dr7');
  }
  view.setUint32(KVM_GUEST_DEBUG.control, control, LITTLE_ENDIAN);
  return bytes;
}

const CPUID_FIELDS = [
  'function',
  'index',
  'flags',
  'eax',
  'ebx',
  'ecx',
  'edx',
] as const satisfies readonly (keyof CpuidEntry)[];

/** struct kvm_cpuid_entry2[] as objects. */
export function decodeCpuid(bytes: Uint8Array): CpuidEntry[] {
  const view = viewOf(bytes);
  return Array.from({ length: Math.floor(bytes.length / KVM_CPUID_ENTRY2.SIZE) }, (_, i) => {
    const entry: Partial<CpuidEntry> = {};
    for (const name of CPUID_FIELDS)
      entry[name] = view.getUint32(i * KVM_CPUID_ENTRY2.SIZE + KVM_CPUID_ENTRY2[name], LITTLE_ENDIAN);
    // SAFETY: CPUID_FIELDS holds every key of CpuidEntry; the unit test proves it.
    return entry as CpuidEntry;
  });
}

export function encodeCpuid(entries: readonly CpuidEntry[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * KVM_CPUID_ENTRY2.SIZE);
  const view = viewOf(bytes);
  entries.forEach((entry, i) => {
    for (const name of CPUID_FIELDS) {
      view.setUint32(
        i * KVM_CPUID_ENTRY2.SIZE + KVM_CPUID_ENTRY2[name],
        narrow(entry[name], 32, `cpuid[${i}].${name}`),
        LITTLE_ENDIAN,
      );
    }
  });
  return bytes;
}
