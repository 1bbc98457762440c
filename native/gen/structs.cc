// Byte offsets and sizes of the structs of <linux/kvm.h> that TypeScript reads or writes, and the word indices of
// VcpuStats.

#include <cstddef>

#include "gen/emitter.h"
#include "kvm/abi.h"
#include "kvm/vcpu_stats.h"

#define FIELD(type, field, name) out.Value(name, offsetof(struct type, field))
#define SAME(type, field) FIELD(type, field, #field)
#define SIZE_OF(type) out.Value("SIZE", sizeof(struct type))

namespace gen {

void EmitRunPage(Emitter& out) {
  out.Open("KVM_RUN", "struct kvm_run: the page that a vCPU shares with the kernel.");
  FIELD(kvm_run, request_interrupt_window, "requestInterruptWindow");
  FIELD(kvm_run, immediate_exit, "immediateExit");
  FIELD(kvm_run, exit_reason, "exitReason");
  FIELD(kvm_run, ready_for_interrupt_injection, "readyForInterruptInjection");
  FIELD(kvm_run, if_flag, "ifFlag");
  SAME(kvm_run, flags);
  SAME(kvm_run, cr8);
  FIELD(kvm_run, apic_base, "apicBase");
  out.OpenNested("hw");
  FIELD(kvm_run, hw.hardware_exit_reason, "hardwareExitReason");
  out.CloseNested();
  out.OpenNested("failEntry");
  FIELD(kvm_run, fail_entry.hardware_entry_failure_reason, "hardwareEntryFailureReason");
  FIELD(kvm_run, fail_entry.cpu, "cpu");
  out.CloseNested();
  out.OpenNested("ex");
  FIELD(kvm_run, ex.exception, "exception");
  FIELD(kvm_run, ex.error_code, "errorCode");
  out.CloseNested();
  out.OpenNested("io");
  FIELD(kvm_run, io.direction, "direction");
  FIELD(kvm_run, io.size, "size");
  FIELD(kvm_run, io.port, "port");
  FIELD(kvm_run, io.count, "count");
  FIELD(kvm_run, io.data_offset, "dataOffset");
  out.CloseNested();
  out.OpenNested("debug");
  FIELD(kvm_run, debug.arch.exception, "exception");
  FIELD(kvm_run, debug.arch.pc, "pc");
  FIELD(kvm_run, debug.arch.dr6, "dr6");
  FIELD(kvm_run, debug.arch.dr7, "dr7");
  out.CloseNested();
  out.OpenNested("mmio");
  FIELD(kvm_run, mmio.phys_addr, "physAddr");
  FIELD(kvm_run, mmio.data, "data");
  FIELD(kvm_run, mmio.len, "len");
  FIELD(kvm_run, mmio.is_write, "isWrite");
  out.CloseNested();
  out.OpenNested("hypercall");
  FIELD(kvm_run, hypercall.nr, "nr");
  FIELD(kvm_run, hypercall.args, "args");
  FIELD(kvm_run, hypercall.ret, "ret");
  out.CloseNested();
  out.OpenNested("internal");
  FIELD(kvm_run, internal.suberror, "suberror");
  FIELD(kvm_run, internal.ndata, "ndata");
  FIELD(kvm_run, internal.data, "data");
  out.CloseNested();
  out.OpenNested("emulationFailure");
  FIELD(kvm_run, emulation_failure.flags, "flags");
  FIELD(kvm_run, emulation_failure.insn_size, "insnSize");
  FIELD(kvm_run, emulation_failure.insn_bytes, "insnBytes");
  out.CloseNested();
  out.OpenNested("systemEvent");
  FIELD(kvm_run, system_event.type, "type");
  FIELD(kvm_run, system_event.ndata, "ndata");
  FIELD(kvm_run, system_event.data, "data");
  out.CloseNested();
  out.OpenNested("eoi");
  FIELD(kvm_run, eoi.vector, "vector");
  out.CloseNested();
  out.OpenNested("msr");
  FIELD(kvm_run, msr.error, "error");
  FIELD(kvm_run, msr.reason, "reason");
  FIELD(kvm_run, msr.index, "index");
  FIELD(kvm_run, msr.data, "data");
  out.CloseNested();
  SIZE_OF(kvm_run);
  out.Close();

  out.Open("KVM_DIRTY_GFN", "struct kvm_dirty_gfn: an entry of the dirty ring.");
  SAME(kvm_dirty_gfn, flags);
  SAME(kvm_dirty_gfn, slot);
  SAME(kvm_dirty_gfn, offset);
  SIZE_OF(kvm_dirty_gfn);
  out.Close();
}

namespace {

void EmitRegisters(Emitter& out) {
  out.Open("KVM_REGS", "struct kvm_regs: u64 each.");
  SAME(kvm_regs, rax);
  SAME(kvm_regs, rbx);
  SAME(kvm_regs, rcx);
  SAME(kvm_regs, rdx);
  SAME(kvm_regs, rsi);
  SAME(kvm_regs, rdi);
  SAME(kvm_regs, rsp);
  SAME(kvm_regs, rbp);
  SAME(kvm_regs, r8);
  SAME(kvm_regs, r9);
  SAME(kvm_regs, r10);
  SAME(kvm_regs, r11);
  SAME(kvm_regs, r12);
  SAME(kvm_regs, r13);
  SAME(kvm_regs, r14);
  SAME(kvm_regs, r15);
  SAME(kvm_regs, rip);
  SAME(kvm_regs, rflags);
  SIZE_OF(kvm_regs);
  out.Close();

  out.Open("KVM_SEGMENT", "struct kvm_segment: base u64, limit u32, selector u16, the rest u8.");
  SAME(kvm_segment, base);
  SAME(kvm_segment, limit);
  SAME(kvm_segment, selector);
  SAME(kvm_segment, type);
  SAME(kvm_segment, present);
  SAME(kvm_segment, dpl);
  SAME(kvm_segment, db);
  SAME(kvm_segment, s);
  SAME(kvm_segment, l);
  SAME(kvm_segment, g);
  SAME(kvm_segment, avl);
  SAME(kvm_segment, unusable);
  SIZE_OF(kvm_segment);
  out.Close();

  out.Open("KVM_DTABLE", "struct kvm_dtable: base u64, limit u16.");
  SAME(kvm_dtable, base);
  SAME(kvm_dtable, limit);
  SIZE_OF(kvm_dtable);
  out.Close();

  out.Open("KVM_SREGS", "struct kvm_sregs: kvm_segment and kvm_dtable members, then u64.");
  SAME(kvm_sregs, cs);
  SAME(kvm_sregs, ds);
  SAME(kvm_sregs, es);
  SAME(kvm_sregs, fs);
  SAME(kvm_sregs, gs);
  SAME(kvm_sregs, ss);
  SAME(kvm_sregs, tr);
  SAME(kvm_sregs, ldt);
  SAME(kvm_sregs, gdt);
  SAME(kvm_sregs, idt);
  SAME(kvm_sregs, cr0);
  SAME(kvm_sregs, cr2);
  SAME(kvm_sregs, cr3);
  SAME(kvm_sregs, cr4);
  SAME(kvm_sregs, cr8);
  SAME(kvm_sregs, efer);
  FIELD(kvm_sregs, apic_base, "apicBase");
  FIELD(kvm_sregs, interrupt_bitmap, "interruptBitmap");
  SIZE_OF(kvm_sregs);
  out.Close();
}

void EmitFloatingPoint(Emitter& out) {
  out.Open("KVM_FPU", "struct kvm_fpu: fpr is 8 x 16 bytes, xmm 16 x 16 bytes.");
  SAME(kvm_fpu, fpr);
  SAME(kvm_fpu, fcw);
  SAME(kvm_fpu, fsw);
  SAME(kvm_fpu, ftwx);
  FIELD(kvm_fpu, last_opcode, "lastOpcode");
  FIELD(kvm_fpu, last_ip, "lastIp");
  FIELD(kvm_fpu, last_dp, "lastDp");
  SAME(kvm_fpu, xmm);
  SAME(kvm_fpu, mxcsr);
  SIZE_OF(kvm_fpu);
  out.Close();

  out.Open("KVM_XSAVE", "struct kvm_xsave: the host's XSAVE area, standard format.");
  SAME(kvm_xsave, region);
  SIZE_OF(kvm_xsave);
  out.Close();

  out.Open("KVM_XCR", "struct kvm_xcr: xcr u32, value u64.");
  SAME(kvm_xcr, xcr);
  SAME(kvm_xcr, value);
  SIZE_OF(kvm_xcr);
  out.Close();

  out.Open("KVM_XCRS", "struct kvm_xcrs: nr_xcrs u32, flags u32, then kvm_xcr[16].");
  FIELD(kvm_xcrs, nr_xcrs, "nrXcrs");
  SAME(kvm_xcrs, flags);
  SAME(kvm_xcrs, xcrs);
  SIZE_OF(kvm_xcrs);
  out.Close();
}

void EmitEvents(Emitter& out) {
  out.Open("KVM_DEBUGREGS", "struct kvm_debugregs: db is 4 x u64, the rest u64.");
  SAME(kvm_debugregs, db);
  SAME(kvm_debugregs, dr6);
  SAME(kvm_debugregs, dr7);
  SAME(kvm_debugregs, flags);
  SIZE_OF(kvm_debugregs);
  out.Close();

  out.Open("KVM_VCPU_EVENTS",
           "struct kvm_vcpu_events: u8, but errorCode, sipiVector, flags u32 and exceptionPayload u64.");
  FIELD(kvm_vcpu_events, exception.injected, "exceptionInjected");
  FIELD(kvm_vcpu_events, exception.nr, "exceptionNr");
  FIELD(kvm_vcpu_events, exception.has_error_code, "exceptionHasErrorCode");
  FIELD(kvm_vcpu_events, exception.pending, "exceptionPending");
  FIELD(kvm_vcpu_events, exception.error_code, "exceptionErrorCode");
  FIELD(kvm_vcpu_events, interrupt.injected, "interruptInjected");
  FIELD(kvm_vcpu_events, interrupt.nr, "interruptNr");
  FIELD(kvm_vcpu_events, interrupt.soft, "interruptSoft");
  FIELD(kvm_vcpu_events, interrupt.shadow, "interruptShadow");
  FIELD(kvm_vcpu_events, nmi.injected, "nmiInjected");
  FIELD(kvm_vcpu_events, nmi.pending, "nmiPending");
  FIELD(kvm_vcpu_events, nmi.masked, "nmiMasked");
  FIELD(kvm_vcpu_events, sipi_vector, "sipiVector");
  SAME(kvm_vcpu_events, flags);
  FIELD(kvm_vcpu_events, smi.smm, "smiSmm");
  FIELD(kvm_vcpu_events, smi.pending, "smiPending");
  FIELD(kvm_vcpu_events, smi.smm_inside_nmi, "smiSmmInsideNmi");
  FIELD(kvm_vcpu_events, smi.latched_init, "smiLatchedInit");
  FIELD(kvm_vcpu_events, triple_fault.pending, "tripleFaultPending");
  FIELD(kvm_vcpu_events, exception_has_payload, "exceptionHasPayload");
  FIELD(kvm_vcpu_events, exception_payload, "exceptionPayload");
  SIZE_OF(kvm_vcpu_events);
  out.Close();

  out.Open("KVM_MP_STATE_STRUCT", "struct kvm_mp_state: u32.");
  FIELD(kvm_mp_state, mp_state, "mpState");
  SIZE_OF(kvm_mp_state);
  out.Close();

  out.Open("KVM_LAPIC", "struct kvm_lapic_state: the register page of the local APIC.");
  SAME(kvm_lapic_state, regs);
  SIZE_OF(kvm_lapic_state);
  out.Close();

  out.Open("KVM_GUEST_DEBUG", "struct kvm_guest_debug: control u32, debugreg 8 x u64 (DR0-DR3, -, -, DR6, DR7).");
  SAME(kvm_guest_debug, control);
  FIELD(kvm_guest_debug, arch.debugreg, "debugreg");
  SIZE_OF(kvm_guest_debug);
  out.Close();

  out.Open("KVM_CPUID_ENTRY2", "struct kvm_cpuid_entry2: u32 each.");
  FIELD(kvm_cpuid_entry2, function, "function");
  SAME(kvm_cpuid_entry2, index);
  SAME(kvm_cpuid_entry2, flags);
  SAME(kvm_cpuid_entry2, eax);
  SAME(kvm_cpuid_entry2, ebx);
  SAME(kvm_cpuid_entry2, ecx);
  SAME(kvm_cpuid_entry2, edx);
  SIZE_OF(kvm_cpuid_entry2);
  out.Close();
}

}  // namespace

void EmitVcpuState(Emitter& out) {
  EmitRegisters(out);
  EmitFloatingPoint(out);
  EmitEvents(out);
}

void EmitStats(Emitter& out) {
  constexpr auto kWord = sizeof(uint64_t);
  out.Open("VCPU_STATS",
           "Indices of u64 words, as native code writes them; a counter per exit reason and per power of two of "
           "nanoseconds.");
  out.Value("guestNs", offsetof(kvm::VcpuStats, guest_ns) / kWord);
  out.Value("outsideNs", offsetof(kvm::VcpuStats, outside_ns) / kWord);
  out.Value("exits", offsetof(kvm::VcpuStats, exits) / kWord);
  out.Value("interrupted", offsetof(kvm::VcpuStats, interrupted) / kWord);
  out.Value("lastReturnNs", offsetof(kvm::VcpuStats, last_return_ns) / kWord);
  out.Value("firstEntryNs", offsetof(kvm::VcpuStats, first_entry_ns) / kWord);
  out.Value("exitsByReason", offsetof(kvm::VcpuStats, exits_by_reason) / kWord);
  out.Value("exitReasons", kvm::kExitReasonSlots);
  out.Value("handlingHistogram", offsetof(kvm::VcpuStats, handling_histogram) / kWord);
  out.Value("handlingBuckets", kvm::kHandlingBuckets);
  out.Value("WORDS", sizeof(kvm::VcpuStats) / kWord);
  out.Value("SIZE", sizeof(kvm::VcpuStats));
  out.Close();
}

}  // namespace gen
