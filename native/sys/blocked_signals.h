// A scope in which no signal interrupts the calling thread. For calls that a signal would end halfway, as Node's
// threads get them: kicks, heartbeats, profilers. Signals that come meanwhile arrive at the end of the scope.

#ifndef NODE_KVM_SYS_BLOCKED_SIGNALS_H_
#define NODE_KVM_SYS_BLOCKED_SIGNALS_H_

#include <pthread.h>
#include <signal.h>

namespace sys {

class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace sys

#endif  // NODE_KVM_SYS_BLOCKED_SIGNALS_H_
