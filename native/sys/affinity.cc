// sched_setaffinity and sched_getaffinity for any number of CPUs.

#include "sys/affinity.h"

#include <sched.h>

namespace sys {
namespace {

// cpu_set_t ends at 1024 CPUs; an array of them takes any number, with the _S macros.
struct CpuSet {
  cpu_set_t words[kMaxCpus / CPU_SETSIZE] = {};
};

}  // namespace

Result<void> SetAffinity(const std::vector<unsigned>& cpus) {
  CpuSet set;
  for (const unsigned cpu : cpus) {
    if (cpu >= kMaxCpus) return SysError{EINVAL, "sched_setaffinity"};
    CPU_SET_S(cpu, sizeof(set), set.words);
  }
  if (sched_setaffinity(0, sizeof(set), set.words) != 0) return LastError("sched_setaffinity");
  return {};
}

Result<std::vector<unsigned>> GetAffinity() {
  CpuSet set;
  if (sched_getaffinity(0, sizeof(set), set.words) != 0) return LastError("sched_getaffinity");
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < kMaxCpus; ++cpu) {
    if (CPU_ISSET_S(cpu, sizeof(set), set.words)) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace sys
