// sys/event_fd: counters, waits, and the table by which other threads find an event.

#include "sys/event_fd.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "sys/clock.h"
#include "sys/kick.h"
#include "test/check.h"

namespace {

using Events = std::vector<std::shared_ptr<sys::EventFd>>;

std::shared_ptr<sys::EventFd> NewEvent() {
  auto created = sys::EventFd::Create();
  return created.ok() ? std::make_shared<sys::EventFd>(std::move(created.value())) : nullptr;
}

TEST(EventFdCounts, "an event counts its signals, and taking them starts again; a full counter stays signalled") {
  const auto event = NewEvent();
  CHECK(event != nullptr);
  auto taken = event->Take();
  CHECK(taken.ok() && taken.value() == 0);
  CHECK(event->Signal().ok() && event->Signal(41).ok());
  taken = event->Take();
  CHECK(taken.ok() && taken.value() == 42);
  CHECK(event->Signal(UINT64_MAX - 1).ok() && event->Signal().ok());
  taken = event->Take();
  CHECK(taken.ok() && taken.value() == UINT64_MAX - 1);
}

TEST(EventFdWaits, "a wait ends by a signal, by its time, and by a kick; it takes nothing") {
  const auto event = NewEvent();
  CHECK(event != nullptr);
  const uint64_t start = sys::MonotonicNs();
  auto woken = event->Wait(30);
  CHECK(woken.ok() && !woken.value() && sys::MonotonicNs() - start >= 29'000'000);
  std::thread other([&] { CHECK(event->Signal().ok()); });
  woken = event->Wait(-1);
  other.join();
  CHECK(woken.ok() && woken.value());
  auto taken = event->Take();
  CHECK(taken.ok() && taken.value() == 1);
  auto heartbeat = sys::Heartbeat::Start(10);
  woken = event->Wait(-1);
  CHECK(heartbeat.ok() && woken.ok() && !woken.value());
}

TEST(EventWaiterReports, "a waiter reports each signalled event once, as many as there is room for, the rest later") {
  Events events;
  for (int i = 0; i < 3; ++i) events.push_back(NewEvent());
  CHECK(events[1]->Signal().ok());  // before anybody waits for it
  auto created = sys::EventWaiter::Create(events);
  CHECK(created.ok());
  sys::EventWaiter& waiter = created.value();
  uint32_t ready[4] = {};
  auto found = waiter.Wait(0, ready);
  CHECK(found.ok() && found.value() == 1 && ready[0] == 1);
  found = waiter.Wait(0, ready);
  CHECK(found.ok() && found.value() == 0);
  for (const auto& event : events) CHECK(event->Signal().ok() && event->Signal().ok());
  found = waiter.Wait(-1, std::span(ready, 2));
  CHECK(found.ok() && found.value() == 2);
  uint32_t seen = 1u << ready[0] | 1u << ready[1];
  found = waiter.Wait(-1, std::span(ready, 2));
  CHECK(found.ok() && found.value() == 1);
  CHECK((seen | 1u << ready[0]) == 7);
  auto taken = events[1]->Take();
  CHECK(taken.ok() && taken.value() == 3);
}

TEST(EventWaiterTwice, "one event twice in a waiter is refused") {
  const auto event = NewEvent();
  auto created = sys::EventWaiter::Create({event, event});
  CHECK(!created.ok() && created.error().errnum == EEXIST && strcmp(created.error().syscall, "epoll_ctl") == 0);
}

TEST(EventWaiterKeepsEvents, "no signal is lost between two waits, however fast they come") {
  constexpr int kSignals = 20'000;
  const auto event = NewEvent();
  const auto stop = NewEvent();
  auto created = sys::EventWaiter::Create({event, stop});
  CHECK(created.ok());
  // Handshakes: each signal must be reported, or the thread that sent it waits in vain.
  std::atomic<int> answered{0};
  std::thread answerer([&] {
    for (;;) {
      uint32_t ready[2];
      auto found = created.value().Wait(-1, ready);
      CHECK(found.ok());
      for (size_t i = 0; i < found.value(); ++i) {
        if (ready[i] == 1) return;
        ++answered;
      }
    }
  });
  for (int i = 1; i <= kSignals; ++i) {
    CHECK(event->Signal().ok());
    while (answered.load() < i) std::this_thread::yield();
  }
  CHECK(stop->Signal().ok());
  answerer.join();
  auto taken = event->Take();
  CHECK(taken.ok() && taken.value() == kSignals);
}

TEST(PublishedEvents, "an event is found by its number while somebody holds it; no number is given twice") {
  auto event = NewEvent();
  const uint64_t id = sys::PublishEventFd(event);
  const int fd = event->fd();
  auto attached = sys::FindEventFd(id);
  CHECK(attached == event);
  event.reset();
  CHECK(attached->Signal().ok() && sys::FindEventFd(id) == attached);
  attached.reset();
  CHECK(sys::FindEventFd(id) == nullptr);
  // The descriptor's number is given again at once; ours is not.
  const auto next = NewEvent();
  CHECK(next->fd() == fd && sys::PublishEventFd(next) != id && sys::FindEventFd(id) == nullptr);
}

TEST(PublishedByManyThreads, "threads publish, find and drop at once") {
  std::vector<std::thread> threads;
  std::atomic<uint64_t> last{0};
  std::atomic<int> found{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 500; ++round) {
        const auto event = NewEvent();
        CHECK(event != nullptr);
        const uint64_t id = sys::PublishEventFd(event);
        const auto other = sys::FindEventFd(last.exchange(id));
        if (other != nullptr) CHECK(other->Signal().ok());
        if (sys::FindEventFd(id) == event) ++found;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(found == 4 * 500);
}

}  // namespace
