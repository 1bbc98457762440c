// Waking a thread and being woken by it, with nothing but futexes: the lab's baseline of Atomics.wait and notify.

#ifndef NODE_KVM_SYS_WAKE_H_
#define NODE_KVM_SYS_WAKE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "sys/event_fd.h"

namespace sys {

/** The words of two threads: the asker writes `asked` and sleeps on `answered`, the answerer the other way round. */
struct WakeWords {
  uint32_t* asked;
  uint32_t* answered;
};

/**
 * Answers every question later than `seen` by copying its number, until none came for 100 ms, or `over` was asked.
 * Returns what was asked last.
 */
uint32_t WakeAnswer(const WakeWords& words, uint32_t seen, uint32_t over);

/**
 * Asks `count` questions, numbered from `last` + 1 on; each one's nanoseconds go to `samples` while there is room.
 * Returns the nanoseconds of all, or 0 when an answer did not come for ten seconds.
 */
uint64_t WakeAsk(const WakeWords& words, uint32_t last, uint32_t count, std::span<double> samples);

/**
 * Answers a guest, which spins until it is: each report of the waiter's event 0 is a question, whose number is copied,
 * and adds 1 to `count`. Until none came for 100 ms, or a signal did (true); until another event is reported (false).
 */
Result<bool> WakeAnswerEvent(EventWaiter& waiter, const WakeWords& words, uint32_t* count);

}  // namespace sys

#endif  // NODE_KVM_SYS_WAKE_H_
