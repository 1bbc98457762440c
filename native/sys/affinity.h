// The set of CPUs that the calling thread may run on.

#ifndef NODE_KVM_SYS_AFFINITY_H_
#define NODE_KVM_SYS_AFFINITY_H_

#include <vector>

#include "sys/result.h"

namespace sys {

/** CPUs are numbered from 0; the kernel's own limit is CONFIG_NR_CPUS, at most 8192 on x86-64. */
inline constexpr unsigned kMaxCpus = 8192;

/** sched_setaffinity. Every number below kMaxCpus. EINVAL when none of them exists or is allowed. */
Result<void> SetAffinity(const std::vector<unsigned>& cpus);
/** sched_getaffinity, ascending. */
Result<std::vector<unsigned>> GetAffinity();

}  // namespace sys

#endif  // NODE_KVM_SYS_AFFINITY_H_
