// Constants of newer kernels that the headers of an older distribution lack. Each is part of the kernel's stable ABI:
// the number never changes, and a kernel without the feature answers 0 to KVM_CHECK_EXTENSION. Source:
// include/uapi/linux/kvm.h.

#ifndef NODE_KVM_GEN_MISSING_H_
#define NODE_KVM_GEN_MISSING_H_

#include "kvm/abi.h"

#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif
#ifndef KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
#define KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP 225
#endif
#ifndef KVM_CAP_USER_MEMORY2
#define KVM_CAP_USER_MEMORY2 231
#endif
#ifndef KVM_CAP_MEMORY_FAULT_INFO
#define KVM_CAP_MEMORY_FAULT_INFO 232
#endif
#ifndef KVM_CAP_MEMORY_ATTRIBUTES
#define KVM_CAP_MEMORY_ATTRIBUTES 233
#endif
#ifndef KVM_CAP_GUEST_MEMFD
#define KVM_CAP_GUEST_MEMFD 234
#endif
#ifndef KVM_CAP_VM_TYPES
#define KVM_CAP_VM_TYPES 235
#endif

#endif  // NODE_KVM_GEN_MISSING_H_
