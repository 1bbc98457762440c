// Sleeping on a word of memory and waking who sleeps there: private futexes, since all threads are this process's. Any
// thread.

#ifndef NODE_KVM_SYS_FUTEX_H_
#define NODE_KVM_SYS_FUTEX_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace sys {

/** Sleeps until the word is not `value` any more; false after `timeout` without a wake-up. */
inline bool FutexAwait(const uint32_t* word, uint32_t value, const timespec& timeout) {
  while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) {
    if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &timeout, nullptr, 0) != 0 && errno == ETIMEDOUT)
      return __atomic_load_n(word, __ATOMIC_SEQ_CST) != value;
  }
  return true;
}

/** Wakes one thread that sleeps there. */
inline void FutexWake(uint32_t* word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

/** Stores the value and wakes. */
inline void FutexTell(uint32_t* word, uint32_t value) {
  __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
  FutexWake(word);
}

}  // namespace sys

#endif  // NODE_KVM_SYS_FUTEX_H_
