// The numbers of <linux/kvm.h> that TypeScript compares with or passes in: exit reasons, capabilities, flags.

#include "gen/emitter.h"
#include "gen/missing.h"
#include "kvm/abi.h"

namespace gen {
namespace {

void EmitExits(Emitter& out) {
  out.Open("KVM_EXIT", "kvm_run.exit_reason (those that x86 can return).");
#define EXIT(name) out.Value(#name, KVM_EXIT_##name)
  EXIT(UNKNOWN);
  EXIT(EXCEPTION);
  EXIT(IO);
  EXIT(HYPERCALL);
  EXIT(DEBUG);
  EXIT(HLT);
  EXIT(MMIO);
  EXIT(IRQ_WINDOW_OPEN);
  EXIT(SHUTDOWN);
  EXIT(FAIL_ENTRY);
  EXIT(INTR);
  EXIT(SET_TPR);
  EXIT(TPR_ACCESS);
  EXIT(NMI);
  EXIT(INTERNAL_ERROR);
  EXIT(SYSTEM_EVENT);
  EXIT(IOAPIC_EOI);
  EXIT(HYPERV);
  EXIT(X86_RDMSR);
  EXIT(X86_WRMSR);
  EXIT(DIRTY_RING_FULL);
  EXIT(AP_RESET_HOLD);
  EXIT(X86_BUS_LOCK);
  EXIT(XEN);
  EXIT(NOTIFY);
  EXIT(MEMORY_FAULT);
#undef EXIT
  out.Close();

  out.Open("KVM_EXIT_IO", "kvm_run.io.direction.");
  out.Value("IN", KVM_EXIT_IO_IN);
  out.Value("OUT", KVM_EXIT_IO_OUT);
  out.Close();

  out.Open("KVM_INTERNAL_ERROR", "kvm_run.internal.suberror.");
  out.Value("EMULATION", KVM_INTERNAL_ERROR_EMULATION);
  out.Value("SIMUL_EX", KVM_INTERNAL_ERROR_SIMUL_EX);
  out.Value("DELIVERY_EV", KVM_INTERNAL_ERROR_DELIVERY_EV);
  out.Value("UNEXPECTED_EXIT_REASON", KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON);
  out.Close();

  out.Open("KVM_EMULATION_FLAG", "kvm_run.emulationFailure.flags.");
  out.Hex("INSTRUCTION_BYTES", KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
  out.Close();

  out.Open("KVM_SYSTEM_EVENT", "kvm_run.system_event.type.");
  out.Value("SHUTDOWN", KVM_SYSTEM_EVENT_SHUTDOWN);
  out.Value("RESET", KVM_SYSTEM_EVENT_RESET);
  out.Value("CRASH", KVM_SYSTEM_EVENT_CRASH);
  out.Value("WAKEUP", KVM_SYSTEM_EVENT_WAKEUP);
  out.Value("SUSPEND", KVM_SYSTEM_EVENT_SUSPEND);
  out.Value("SEV_TERM", KVM_SYSTEM_EVENT_SEV_TERM);
  out.Close();
}

void EmitCapabilities(Emitter& out) {
  out.Open("KVM_CAP", "Arguments of KVM_CHECK_EXTENSION and KVM_ENABLE_CAP.");
#define CAP(name) out.Value(#name, KVM_CAP_##name)
  CAP(IRQCHIP);
  CAP(HLT);
  CAP(USER_MEMORY);
  CAP(SET_TSS_ADDR);
  CAP(VAPIC);
  CAP(EXT_CPUID);
  CAP(NR_VCPUS);
  CAP(NR_MEMSLOTS);
  CAP(PIT);
  CAP(NOP_IO_DELAY);
  CAP(MP_STATE);
  CAP(COALESCED_MMIO);
  CAP(SYNC_MMU);
  CAP(DESTROY_MEMORY_REGION_WORKS);
  CAP(USER_NMI);
  CAP(SET_GUEST_DEBUG);
  CAP(IRQ_ROUTING);
  CAP(IRQFD);
  CAP(PIT2);
  CAP(SET_BOOT_CPU_ID);
  CAP(IOEVENTFD);
  CAP(SET_IDENTITY_MAP_ADDR);
  CAP(ADJUST_CLOCK);
  CAP(INTERNAL_ERROR_DATA);
  CAP(VCPU_EVENTS);
  CAP(DEBUGREGS);
  CAP(X86_ROBUST_SINGLESTEP);
  CAP(ENABLE_CAP);
  CAP(XSAVE);
  CAP(XCRS);
  CAP(TSC_CONTROL);
  CAP(TSC_DEADLINE_TIMER);
  CAP(GET_TSC_KHZ);
  CAP(MAX_VCPUS);
  CAP(ONE_REG);
  CAP(READONLY_MEM);
  CAP(SIGNAL_MSI);
  CAP(EXT_EMUL_CPUID);
  CAP(IOEVENTFD_NO_LENGTH);
  CAP(VM_ATTRIBUTES);
  CAP(CHECK_EXTENSION_VM);
  CAP(DISABLE_QUIRKS);
  CAP(X86_SMM);
  CAP(MULTI_ADDRESS_SPACE);
  CAP(SPLIT_IRQCHIP);
  CAP(MAX_VCPU_ID);
  CAP(X2APIC_API);
  CAP(MSI_DEVID);
  CAP(IMMEDIATE_EXIT);
  CAP(X86_DISABLE_EXITS);
  CAP(GET_MSR_FEATURES);
  CAP(NESTED_STATE);
  CAP(COALESCED_PIO);
  CAP(EXCEPTION_PAYLOAD);
  CAP(MANUAL_DIRTY_LOG_PROTECT2);
  CAP(X86_USER_SPACE_MSR);
  CAP(X86_MSR_FILTER);
  CAP(DIRTY_LOG_RING);
  CAP(X86_BUS_LOCK_EXIT);
  CAP(SREGS2);
  CAP(EXIT_ON_EMULATION_FAILURE);
  CAP(XSAVE2);
  CAP(VM_GPA_BITS);
  CAP(SYSTEM_EVENT_DATA);
  CAP(X86_TRIPLE_FAULT_EVENT);
  CAP(X86_NOTIFY_VMEXIT);
  CAP(VM_DISABLE_NX_HUGE_PAGES);
  CAP(DIRTY_LOG_RING_ACQ_REL);
  CAP(DIRTY_LOG_RING_WITH_BITMAP);
  CAP(USER_MEMORY2);
  CAP(MEMORY_FAULT_INFO);
  CAP(MEMORY_ATTRIBUTES);
  CAP(GUEST_MEMFD);
  CAP(VM_TYPES);
#undef CAP
  out.Close();
}

void EmitFlags(Emitter& out) {
  out.Const("KVM_API_VERSION", "The only value of KVM_GET_API_VERSION that this library accepts.", KVM_API_VERSION);
  out.Const("KVM_DIRTY_LOG_PAGE_OFFSET", "Page of the vCPU's descriptor at which its dirty ring is mapped.",
            KVM_DIRTY_LOG_PAGE_OFFSET);

  out.Open("KVM_MEM", "Flags of a memory slot.");
  out.Hex("LOG_DIRTY_PAGES", KVM_MEM_LOG_DIRTY_PAGES);
  out.Hex("READONLY", KVM_MEM_READONLY);
  out.Close();

  out.Open("KVM_DIRTY_LOG", "Arguments of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2.");
  out.Hex("MANUAL_PROTECT_ENABLE", KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
  out.Hex("INITIALLY_SET", KVM_DIRTY_LOG_INITIALLY_SET);
  out.Close();

  out.Open("KVM_DIRTY_GFN_F", "kvm_dirty_gfn.flags.");
  out.Hex("DIRTY", KVM_DIRTY_GFN_F_DIRTY);
  out.Hex("RESET", KVM_DIRTY_GFN_F_RESET);
  out.Close();

  out.Open("KVM_MP_STATE", "kvm_mp_state.mp_state.");
  out.Value("RUNNABLE", KVM_MP_STATE_RUNNABLE);
  out.Value("UNINITIALIZED", KVM_MP_STATE_UNINITIALIZED);
  out.Value("INIT_RECEIVED", KVM_MP_STATE_INIT_RECEIVED);
  out.Value("HALTED", KVM_MP_STATE_HALTED);
  out.Value("SIPI_RECEIVED", KVM_MP_STATE_SIPI_RECEIVED);
  out.Value("STOPPED", KVM_MP_STATE_STOPPED);
  out.Close();

  out.Open("KVM_GUESTDBG", "kvm_guest_debug.control.");
  out.Hex("ENABLE", KVM_GUESTDBG_ENABLE);
  out.Hex("SINGLESTEP", KVM_GUESTDBG_SINGLESTEP);
  out.Hex("USE_SW_BP", KVM_GUESTDBG_USE_SW_BP);
  out.Hex("USE_HW_BP", KVM_GUESTDBG_USE_HW_BP);
  out.Hex("INJECT_DB", KVM_GUESTDBG_INJECT_DB);
  out.Hex("INJECT_BP", KVM_GUESTDBG_INJECT_BP);
  out.Hex("BLOCKIRQ", KVM_GUESTDBG_BLOCKIRQ);
  out.Close();

  out.Open("KVM_CPUID_FLAG", "kvm_cpuid_entry2.flags.");
  out.Hex("SIGNIFICANT_INDEX", KVM_CPUID_FLAG_SIGNIFCANT_INDEX);  // The kernel's own spelling.
  out.Hex("STATEFUL_FUNC", KVM_CPUID_FLAG_STATEFUL_FUNC);
  out.Hex("STATE_READ_NEXT", KVM_CPUID_FLAG_STATE_READ_NEXT);
  out.Close();

  out.Open("KVM_VCPUEVENT_VALID", "kvm_vcpu_events.flags.");
  out.Hex("NMI_PENDING", KVM_VCPUEVENT_VALID_NMI_PENDING);
  out.Hex("SIPI_VECTOR", KVM_VCPUEVENT_VALID_SIPI_VECTOR);
  out.Hex("SHADOW", KVM_VCPUEVENT_VALID_SHADOW);
  out.Hex("SMM", KVM_VCPUEVENT_VALID_SMM);
  out.Hex("PAYLOAD", KVM_VCPUEVENT_VALID_PAYLOAD);
  out.Hex("TRIPLE_FAULT", KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
  out.Close();

  out.Open("KVM_RUN_X86", "kvm_run.flags.");
  out.Hex("SMM", KVM_RUN_X86_SMM);
  out.Hex("BUS_LOCK", KVM_RUN_X86_BUS_LOCK);
  out.Close();
}

}  // namespace

void EmitConstants(Emitter& out) {
  EmitExits(out);
  EmitCapabilities(out);
  EmitFlags(out);
}

}  // namespace gen
