// <linux/kvm.h> for C++: the one place that includes it.
//
// Headers before Linux 6.6 declare flexible arrays behind an empty struct, which takes a byte in C++. That would move
// the arrays, change sizeof, and with it the ioctl numbers, which contain the size. The declaration below is the one
// that newer headers have.

#ifndef NODE_KVM_KVM_ABI_H_
#define NODE_KVM_KVM_ABI_H_

#include <linux/stddef.h>

#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) TYPE NAME[0]

#include <linux/kvm.h>

// As in C.
static_assert(sizeof(kvm_cpuid2) == 8 && sizeof(kvm_msrs) == 8 && sizeof(kvm_msr_list) == 4 &&
              sizeof(kvm_xsave) == 4096);
static_assert(sizeof(kvm_irq_routing) == 8 && sizeof(kvm_irq_routing_entry) == 48 && sizeof(kvm_msi) == 32);
static_assert(sizeof(kvm_cpuid_entry2) == 40 && sizeof(kvm_msr_entry) == 16);

#endif  // NODE_KVM_KVM_ABI_H_
