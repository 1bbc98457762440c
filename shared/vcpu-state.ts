// The state of a vCPU as objects: registers, segments, FPU, debug registers, pending events. Runs on every thread; pure.
// 64-bit registers are bigint (they do use all their bits), everything narrower is number. The bytes are in vcpu-codec.ts.

/** General registers (struct kvm_regs). */
export interface Regs {
  rax: bigint;
  rbx: bigint;
  rcx: bigint;
  rdx: bigint;
  rsi: bigint;
  rdi: bigint;
  rsp: bigint;
  rbp: bigint;
  r8: bigint;
  r9: bigint;
  r10: bigint;
  r11: bigint;
  r12: bigint;
  r13: bigint;
  r14: bigint;
  r15: bigint;
  rip: bigint;
  rflags: bigint;
}

/** A segment register with its hidden part (struct kvm_segment). `limit` in bytes, inclusive, whatever `g` says. */
export interface Segment {
  base: bigint;
  limit: number;
  selector: number;
  /** 4 bits: 0xb = code, execute/read, accessed; 0x3 = data, read/write, accessed. */
  type: number;
  present: number;
  dpl: number;
  db: number;
  s: number;
  l: number;
  g: number;
  avl: number;
  unusable: number;
}

/** GDTR or IDTR (struct kvm_dtable). */
export interface DescriptorTable {
  base: bigint;
  limit: number;
}

/** Segments, tables and control registers (struct kvm_sregs). */
export interface Sregs {
  cs: Segment;
  ds: Segment;
  es: Segment;
  fs: Segment;
  gs: Segment;
  ss: Segment;
  tr: Segment;
  ldt: Segment;
  gdt: DescriptorTable;
  idt: DescriptorTable;
  cr0: bigint;
  cr2: bigint;
  cr3: bigint;
  cr4: bigint;
  cr8: bigint;
  efer: bigint;
  apicBase: bigint;
}

/** x87 and SSE state (struct kvm_fpu). */
export interface Fpu {
  /** Eight registers of 16 bytes (10 used), st(0) first. */
  fpr: Uint8Array[];
  fcw: number;
  fsw: number;
  /** Abridged tag word: one bit per register. */
  ftwx: number;
  lastOpcode: number;
  lastIp: bigint;
  lastDp: bigint;
  /** Sixteen registers of 16 bytes. */
  xmm: Uint8Array[];
  mxcsr: number;
}

/** Debug registers (struct kvm_debugregs). */
export interface DebugRegs {
  /** dr0 to dr3. */
  db: [bigint, bigint, bigint, bigint];
  dr6: bigint;
  dr7: bigint;
}

/** One extended control register (struct kvm_xcr): 0 is XCR0. */
export interface Xcr {
  index: number;
  value: bigint;
}

/** Pending and injected events (struct kvm_vcpu_events). `flags` says which optional fields KVM takes (KVM_VCPUEVENT_VALID_*). */
export interface VcpuEvents {
  exception: { injected: number; nr: number; hasErrorCode: number; pending: number; errorCode: number };
  interrupt: { injected: number; nr: number; soft: number; shadow: number };
  nmi: { injected: number; pending: number; masked: number };
  sipiVector: number;
  flags: number;
  smi: { smm: number; pending: number; smmInsideNmi: number; latchedInit: number };
  tripleFault: number;
  exceptionHasPayload: number;
  exceptionPayload: bigint;
}

/** KVM_MP_STATE_*: what a vCPU of a machine with an in-kernel irqchip does. */
export type MpState = 'runnable' | 'uninitialized' | 'init-received' | 'halted' | 'sipi-received';

/** One CPUID leaf (struct kvm_cpuid_entry2). */
export interface CpuidEntry {
  function: number;
  index: number;
  flags: number;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

/** What KVM_SET_GUEST_DEBUG turns on; everything absent is off. */
export interface GuestDebug {
  singleStep?: boolean;
  /** INT3 in the guest leaves KVM_RUN. */
  softwareBreakpoints?: boolean;
  /** Hardware breakpoints: dr0–dr3 and dr7. */
  hardware?: { addresses: readonly bigint[]; dr7: bigint };
}
