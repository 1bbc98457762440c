// Two futexes: private ones, since both threads are this process's.

#include "sys/wake.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "sys/clock.h"

namespace sys {
namespace {

constexpr long kIdleNs = 100'000'000;
constexpr time_t kAnswerSeconds = 10;

/** Sleeps until the word is not `value` any more; false after `timeout` without a wake-up. */
bool Await(uint32_t* word, uint32_t value, const timespec& timeout) {
  while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) {
    if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &timeout, nullptr, 0) != 0 && errno == ETIMEDOUT)
      return __atomic_load_n(word, __ATOMIC_SEQ_CST) != value;
  }
  return true;
}

void Tell(uint32_t* word, uint32_t value) {
  __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace

uint32_t WakeAnswer(const WakeWords& words, uint32_t seen, uint32_t over) {
  while (Await(words.asked, seen, timespec{0, kIdleNs})) {
    seen = __atomic_load_n(words.asked, __ATOMIC_SEQ_CST);
    if (seen == over) break;
    Tell(words.answered, seen);
  }
  return seen;
}

uint64_t WakeAsk(const WakeWords& words, uint32_t last, uint32_t count, std::span<double> samples) {
  const uint64_t begin = MonotonicNs();
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t start = MonotonicNs();
    Tell(words.asked, last + i + 1);
    if (!Await(words.answered, last + i, timespec{kAnswerSeconds, 0})) return 0;
    if (i < samples.size()) samples[i] = static_cast<double>(MonotonicNs() - start);
  }
  return MonotonicNs() - begin;
}

}  // namespace sys
