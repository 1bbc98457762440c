// eventfd(2), poll(2), epoll(7), and the process-wide table of events.

#include "sys/event_fd.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <map>
#include <mutex>

namespace sys {
namespace {

struct Registry {
  std::mutex mutex;  // guards what follows
  uint64_t last_id = 0;
  std::map<uint64_t, std::weak_ptr<EventFd>> by_id;
};

Registry& TheRegistry() {
  // Never destroyed: worker threads may still ask while the process's static objects are being destroyed.
  static Registry* const registry = new Registry;
  return *registry;
}

}  // namespace

Result<EventFd> EventFd::Create() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return LastError("eventfd");
  return EventFd(UniqueFd(fd));
}

Result<void> EventFd::Signal(uint64_t count) const {
  ssize_t written;
  do {
    written = write(fd_.get(), &count, sizeof(count));
  } while (written < 0 && errno == EINTR);
  if (written < 0 && errno != EAGAIN) return LastError("write");
  return {};
}

Result<uint64_t> EventFd::Take() const {
  uint64_t count = 0;
  ssize_t got;
  do {
    got = read(fd_.get(), &count, sizeof(count));
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return uint64_t{0};
  if (got < 0) return LastError("read");
  return count;
}

Result<bool> EventFd::Wait(int timeout_ms) const {
  pollfd wanted = {fd_.get(), POLLIN, 0};
  const int found = poll(&wanted, 1, timeout_ms);
  if (found < 0 && errno != EINTR) return LastError("poll");
  return found > 0;
}

Result<EventWaiter> EventWaiter::Create(std::vector<std::shared_ptr<EventFd>> events) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return LastError("epoll_create1");
  for (uint32_t index = 0; index < events.size(); ++index) {
    epoll_event wanted = {};
    wanted.events = EPOLLIN | EPOLLET;
    wanted.data.u32 = index;
    if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, events[index]->fd(), &wanted) != 0) return LastError("epoll_ctl");
  }
  return EventWaiter(std::move(epoll), std::move(events));
}

Result<size_t> EventWaiter::Wait(int timeout_ms, std::span<uint32_t> ready) {
  epoll_event found[kReportsMax];
  const int most = static_cast<int>(std::min(ready.size(), kReportsMax));
  const int count = epoll_wait(epoll_.get(), found, most, timeout_ms);
  if (count < 0) {
    if (errno == EINTR) return size_t{0};
    return LastError("epoll_wait");
  }
  for (int i = 0; i < count; ++i) ready[static_cast<size_t>(i)] = found[i].data.u32;
  return static_cast<size_t>(count);
}

uint64_t PublishEventFd(const std::shared_ptr<EventFd>& event) {
  Registry& registry = TheRegistry();
  const std::lock_guard lock(registry.mutex);
  std::erase_if(registry.by_id, [](const auto& entry) { return entry.second.expired(); });
  registry.by_id[++registry.last_id] = event;
  return registry.last_id;
}

std::shared_ptr<EventFd> FindEventFd(uint64_t id) {
  Registry& registry = TheRegistry();
  const std::lock_guard lock(registry.mutex);
  const auto found = registry.by_id.find(id);
  return found == registry.by_id.end() ? nullptr : found->second.lock();
}

}  // namespace sys
