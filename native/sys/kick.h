// The signal that takes a thread out of KVM_RUN, and the timer that sends it periodically. Any thread.
//
// The handler does nothing and is installed without SA_RESTART: delivery alone makes a blocking call return EINTR. It
// is the one thing of the process that this library changes for good.

#ifndef NODE_KVM_SYS_KICK_H_
#define NODE_KVM_SYS_KICK_H_

#include <sys/types.h>
#include <time.h>

#include <optional>
#include <utility>

#include "sys/result.h"

namespace sys {

/** The real-time signal that kicks use. */
int KickSignal();

/** Installs the handler; later calls do nothing. Without it the signal's default action would end the process. */
Result<void> InstallKickHandler();

/** gettid(). */
pid_t ThreadId();

/** Signals one thread of this process. False when it is gone. Where the user's signal queue is full, the next heartbeat does it. */
Result<bool> Kick(pid_t tid);

/** Sends the kick signal to one thread periodically while it lives: a POSIX timer, deleted by the destructor. Any
 * thread may destroy it. */
class Heartbeat {
 public:
  Heartbeat() = default;
  Heartbeat(Heartbeat&& other) noexcept : timer_(std::exchange(other.timer_, std::nullopt)) {}
  Heartbeat& operator=(Heartbeat&& other) noexcept;
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;
  ~Heartbeat() { Stop(); }

  /** A heartbeat of the calling thread. `period_ms` > 0. */
  static Result<Heartbeat> Start(unsigned period_ms);
  void Stop();

 private:
  explicit Heartbeat(timer_t timer) : timer_(timer) {}
  std::optional<timer_t> timer_;
};

}  // namespace sys

#endif  // NODE_KVM_SYS_KICK_H_
