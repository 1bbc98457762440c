// A bell that all vCPUs ring, since a thread sleeps on one word only, and two words for each of them.

#include "sys/hand_over.h"

#include "sys/futex.h"

namespace sys {
namespace {

constexpr long kIdleNs = 100'000'000;
constexpr time_t kAnswerSeconds = 10;

}  // namespace

bool HandOver(ExitWords* vcpu, uint32_t* bell) {
  const uint32_t last = vcpu->asked;
  __atomic_store_n(&vcpu->asked, last + 1, __ATOMIC_SEQ_CST);
  __atomic_fetch_add(bell, 1, __ATOMIC_SEQ_CST);
  FutexWake(bell);
  return FutexAwait(&vcpu->handled, last, timespec{kAnswerSeconds, 0});
}

void ServeExits(std::span<ExitWords* const> vcpus, const uint32_t* bell) {
  uint32_t rung;
  do {
    // Before the words: who asks after that rings after that, and the sleep ends at once.
    rung = __atomic_load_n(bell, __ATOMIC_SEQ_CST);
    for (ExitWords* vcpu : vcpus) {
      const uint32_t asked = __atomic_load_n(&vcpu->asked, __ATOMIC_SEQ_CST);
      // One writer: this thread.
      if (asked != vcpu->handled) FutexTell(&vcpu->handled, vcpu->handled + 1);
    }
  } while (FutexAwait(bell, rung, timespec{0, kIdleNs}));
}

}  // namespace sys
