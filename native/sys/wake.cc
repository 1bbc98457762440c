// Two futexes, one for each direction.

#include "sys/wake.h"

#include "sys/clock.h"
#include "sys/futex.h"

namespace sys {
namespace {

constexpr long kIdleNs = 100'000'000;
constexpr time_t kAnswerSeconds = 10;

}  // namespace

uint32_t WakeAnswer(const WakeWords& words, uint32_t seen, uint32_t over) {
  while (FutexAwait(words.asked, seen, timespec{0, kIdleNs})) {
    seen = __atomic_load_n(words.asked, __ATOMIC_SEQ_CST);
    if (seen == over) break;
    FutexTell(words.answered, seen);
  }
  return seen;
}

uint64_t WakeAsk(const WakeWords& words, uint32_t last, uint32_t count, std::span<double> samples) {
  const uint64_t begin = MonotonicNs();
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t start = MonotonicNs();
    FutexTell(words.asked, last + i + 1);
    if (!FutexAwait(words.answered, last + i, timespec{kAnswerSeconds, 0})) return 0;
    if (i < samples.size()) samples[i] = static_cast<double>(MonotonicNs() - start);
  }
  return MonotonicNs() - begin;
}

Result<bool> WakeAnswerEvent(EventWaiter& waiter, const WakeWords& words, uint32_t* count) {
  for (;;) {
    uint32_t ready[1];
    auto found = waiter.Wait(kIdleNs / 1'000'000, ready);
    if (!found.ok()) return found.error();
    if (found.value() == 0) return true;
    if (ready[0] != 0) return false;
    // The count first: whoever sees the answer sees it counted.
    __atomic_fetch_add(count, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(words.answered, __atomic_load_n(words.asked, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
  }
}

}  // namespace sys
