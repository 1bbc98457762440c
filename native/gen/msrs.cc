// Indices of the MSRs that a 64-bit guest's state consists of. The kernel does not export <asm/msr-index.h> to user
// space, so they are listed here, in one place: architectural numbers of the Intel SDM, volume 4, table 2-2, and of the
// AMD APM, volume 2, appendix A; the KVM ones of Documentation/virt/kvm/x86/msr.rst.

#include "gen/emitter.h"

namespace gen {

void EmitMsrs(Emitter& out) {
  out.Open("MSR", "MSR indices.");
  out.Hex("IA32_TSC", 0x10);
  out.Hex("IA32_APIC_BASE", 0x1b);
  out.Hex("IA32_FEATURE_CONTROL", 0x3a);
  out.Hex("IA32_TSC_ADJUST", 0x3b);
  out.Hex("IA32_SPEC_CTRL", 0x48);
  out.Hex("IA32_SYSENTER_CS", 0x174);
  out.Hex("IA32_SYSENTER_ESP", 0x175);
  out.Hex("IA32_SYSENTER_EIP", 0x176);
  out.Hex("IA32_MISC_ENABLE", 0x1a0);
  out.Hex("IA32_PAT", 0x277);
  out.Hex("MTRR_DEF_TYPE", 0x2ff);
  out.Hex("IA32_TSC_DEADLINE", 0x6e0);
  out.Hex("IA32_XSS", 0xda0);
  out.Hex("EFER", 0xc0000080);
  out.Hex("STAR", 0xc0000081);
  out.Hex("LSTAR", 0xc0000082);
  out.Hex("CSTAR", 0xc0000083);
  out.Hex("SYSCALL_MASK", 0xc0000084);
  out.Hex("FS_BASE", 0xc0000100);
  out.Hex("GS_BASE", 0xc0000101);
  out.Hex("KERNEL_GS_BASE", 0xc0000102);
  out.Hex("TSC_AUX", 0xc0000103);
  out.Hex("KVM_WALL_CLOCK_NEW", 0x4b564d00);
  out.Hex("KVM_SYSTEM_TIME_NEW", 0x4b564d01);
  out.Hex("KVM_ASYNC_PF_EN", 0x4b564d02);
  out.Hex("KVM_STEAL_TIME", 0x4b564d03);
  out.Hex("KVM_PV_EOI_EN", 0x4b564d04);
  out.Close();
}

}  // namespace gen
