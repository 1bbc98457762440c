// The commands of the C++ baselines: each takes the words of its line and returns the nanoseconds that the work took, by
// CLOCK_MONOTONIC. A state that rounds share (a VM that waits in its gate, mapped memory) lives in the file of its command.
// Every failure ends the process with a message: a baseline that half works must not become a figure.

#ifndef NODE_KVM_BENCH_BASELINE_H_
#define NODE_KVM_BENCH_BASELINE_H_

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sstream>

namespace baseline {

/** What a command answers. `check` is compared with what TypeScript computed: both sides did the same work. */
struct Answer {
  double nanoseconds = 0;
  uint64_t check = 0;
};

using Arguments = std::istringstream;

[[noreturn]] inline void Fail(const char* what) {
  std::fprintf(stderr, "baseline: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

inline int Checked(int result, const char* what) {
  if (result < 0) Fail(what);
  return result;
}

/** The next word of the line. */
template <typename T>
T Next(Arguments& line) {
  T value{};
  if (!(line >> value)) {
    errno = EINVAL;
    Fail("a command lacks an argument");
  }
  return value;
}

inline double NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// exits.cc
Answer OpenExits(Arguments& line);
Answer RunExits(Arguments& line);
// startup.cc
Answer StartVm(Arguments& line);
Answer OpenIdleVms(Arguments& line);
Answer CloseIdleVms(Arguments& line);
// memory.cc
Answer OpenMemory(Arguments& line);
Answer ReadWords(Arguments& line);
Answer WriteWords(Arguments& line);
Answer AddWords(Arguments& line);
// copies.cc
Answer OpenCopies(Arguments& line);
Answer RunCopies(Arguments& line);
// dirty.cc
Answer OpenDirty(Arguments& line);
Answer CloseDirty(Arguments& line);
Answer StartDirty(Arguments& line);
Answer StopDirty(Arguments& line);
Answer HarvestDirty(Arguments& line);
Answer GetDirty(Arguments& line);
Answer ClearDirty(Arguments& line);
Answer WriteByGuest(Arguments& line);
Answer WriteByHost(Arguments& line);

}  // namespace baseline

#endif  // NODE_KVM_BENCH_BASELINE_H_
