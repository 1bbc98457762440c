// CLOCK_MONOTONIC, the clock of all statistics. From the vDSO, so no system call on the hot path. Any thread.

#ifndef NODE_KVM_SYS_CLOCK_H_
#define NODE_KVM_SYS_CLOCK_H_

#include <time.h>

#include <cstdint>

namespace sys {

inline uint64_t MonotonicNs() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace sys

#endif  // NODE_KVM_SYS_CLOCK_H_
