// Asks the kernel what is mapped in this process. Slow (reads /proc/self/maps); for checks on rare, unsafe calls only.

#ifndef NODE_KVM_SYS_PROC_MAPS_H_
#define NODE_KVM_SYS_PROC_MAPS_H_

#include <cstddef>
#include <cstdint>

#include "sys/result.h"

namespace sys {

/**
 * Whether every byte of [address, address + size) is mapped readable (and writable, where asked). The answer is about
 * now: nothing stops another thread from unmapping it afterwards.
 */
Result<bool> IsMapped(uint64_t address, uint64_t size, bool writable);

/** Whether the mapping that `address` lies in is a shared one (of a file, a memfd, shared memory). False where nothing
 * is mapped. */
Result<bool> IsShared(uint64_t address);

}  // namespace sys

#endif  // NODE_KVM_SYS_PROC_MAPS_H_
