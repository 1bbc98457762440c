// Eventfds: counters that threads, KVM and the rest of the kernel signal and sleep on; a wait for any of several; and
// the table that lets a thread attach to another one's. Any thread.

#ifndef NODE_KVM_SYS_EVENT_FD_H_
#define NODE_KVM_SYS_EVENT_FD_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sys/result.h"
#include "sys/unique_fd.h"

namespace sys {

/** eventfd(2), non-blocking. Its methods may be called by several threads at once. */
class EventFd {
 public:
  static Result<EventFd> Create();

  int fd() const { return fd_.get(); }

  /** Adds `count` > 0. Where the counter is full it is signalled all the same, and stays as it is. */
  Result<void> Signal(uint64_t count = 1) const;
  /** What was added since the last call, which it sets to 0. Does not block: 0 where nothing was. */
  Result<uint64_t> Take() const;
  /** Blocks until the counter is not 0, at most `timeout_ms` (-1: for ever). False after that time, or a signal. */
  Result<bool> Wait(int timeout_ms) const;

 private:
  explicit EventFd(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

/**
 * Waits for any of several eventfds, by epoll(7). Edge-triggered: a wait reports an event once for all the signals that
 * came since it was reported last, and leaves its counter alone. One thread.
 */
class EventWaiter {
 public:
  /** Reported at once in one Wait() at most. */
  static constexpr size_t kReportsMax = 64;

  /** Keeps the events. One that is signalled already is reported. EEXIST: the same one twice. */
  static Result<EventWaiter> Create(std::vector<std::shared_ptr<EventFd>> events);

  /**
   * Blocks until an event is signalled, at most `timeout_ms` (-1: for ever). Writes the indices of those that are into
   * `ready`, which is not empty; what has no room there is for the next call. How many: 0 after that time, or a signal.
   */
  Result<size_t> Wait(int timeout_ms, std::span<uint32_t> ready);

  /** Readable while there is something to report: for another poll. */
  int fd() const { return epoll_.get(); }

 private:
  EventWaiter(UniqueFd epoll, std::vector<std::shared_ptr<EventFd>> events)
      : epoll_(std::move(epoll)), events_(std::move(events)) {}
  UniqueFd epoll_;
  std::vector<std::shared_ptr<EventFd>> events_;
};

/**
 * A number by which any thread finds the event while somebody holds it. It is never given to another one, as the number
 * of a descriptor is: a thread that comes too late finds nothing.
 */
uint64_t PublishEventFd(const std::shared_ptr<EventFd>& event);
/** Null: nobody holds it any more, or there was none. */
std::shared_ptr<EventFd> FindEventFd(uint64_t id);

}  // namespace sys

#endif  // NODE_KVM_SYS_EVENT_FD_H_
