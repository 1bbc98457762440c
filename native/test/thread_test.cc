// sys/kick, affinity, fault and bitmap.

#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "sys/affinity.h"
#include "sys/blocked_signals.h"
#include "sys/clock.h"
#include "sys/fault.h"
#include "sys/kick.h"
#include "sys/unique_fd.h"
#include "test/check.h"

namespace {

/** A read that ends only when a signal interrupts it. */
int BlockUntilSignal() {
  const sys::UniqueFd never(eventfd(0, EFD_CLOEXEC));
  uint64_t value;
  return read(never.get(), &value, sizeof(value)) < 0 ? errno : 0;
}

TEST(KickInterrupts, "a kick makes a blocking call of that thread return EINTR") {
  std::atomic<pid_t> tid{0};
  std::atomic<int> outcome{0};
  std::thread blocked([&] {
    tid = sys::ThreadId();
    outcome = BlockUntilSignal();
  });
  while (tid == 0) std::this_thread::yield();
  // One kick may arrive before read() is entered; kicks of a vCPU have immediate_exit for that, a read has only
  // repetition.
  while (outcome == 0) {
    auto kicked = sys::Kick(tid);
    if (!kicked.ok()) break;
    usleep(1000);
  }
  blocked.join();
  CHECK(outcome == EINTR);
}

TEST(BlockedSignalsWait, "signals do not interrupt a scope that blocks them, and arrive at its end") {
  CHECK(sys::InstallKickHandler().ok());
  const timespec moment = {0, 1000};
  {
    const sys::BlockedSignals blocked;
    CHECK(sys::Kick(sys::ThreadId()).ok());
    CHECK(nanosleep(&moment, nullptr) == 0);
    sigset_t pending;
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, sys::KickSignal()) == 1);
  }
  sigset_t pending;
  CHECK(sigpending(&pending) == 0 && sigismember(&pending, sys::KickSignal()) == 0);
}

TEST(KickOfNobody, "a kick of a thread that is gone says so, and one of another process's thread too") {
  pid_t tid = 0;
  std::thread gone([&] { tid = sys::ThreadId(); });
  gone.join();
  // The kernel says that a thread has ended some microseconds before it forgets its id.
  auto kicked = sys::Kick(tid);
  for (int tries = 0; tries < 1000 && kicked.ok() && kicked.value(); ++tries) {
    usleep(1000);
    kicked = sys::Kick(tid);
  }
  CHECK(kicked.ok() && !kicked.value());
  auto init = sys::Kick(1);
  CHECK(init.ok() && !init.value());
}

TEST(HandlerDoesNothing, "the handler leaves the process alone and does not restart calls") {
  CHECK(sys::InstallKickHandler().ok() && sys::InstallKickHandler().ok());
  struct sigaction action;
  CHECK(sigaction(sys::KickSignal(), nullptr, &action) == 0);
  CHECK((action.sa_flags & SA_RESTART) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
  auto kicked = sys::Kick(sys::ThreadId());
  CHECK(kicked.ok() && kicked.value());
}

TEST(HeartbeatInterrupts, "a heartbeat interrupts again and again until it stops") {
  std::thread thread([] {
    auto heartbeat = sys::Heartbeat::Start(20);
    CHECK(heartbeat.ok());
    for (int i = 0; i < 3; ++i) CHECK(BlockUntilSignal() == EINTR);
    sys::Heartbeat moved = std::move(heartbeat.value());
    CHECK(BlockUntilSignal() == EINTR);
    moved.Stop();
    const uint64_t start = sys::MonotonicNs();
    usleep(100'000);  // would return early
    CHECK(sys::MonotonicNs() - start >= 100'000'000);
  });
  thread.join();
}

TEST(HeartbeatOutlivesItsThread, "a heartbeat whose thread has ended is harmless, and may be destroyed elsewhere") {
  sys::Heartbeat heartbeat;
  std::thread thread([&] {
    auto started = sys::Heartbeat::Start(1);
    if (started.ok()) heartbeat = std::move(started.value());
  });
  thread.join();
  usleep(20'000);
  heartbeat.Stop();
}

TEST(SetsAffinity, "affinity is set for the calling thread alone; impossible sets are refused") {
  auto before = sys::GetAffinity();
  CHECK(before.ok() && !before.value().empty());
  std::thread thread([&] {
    const std::vector<unsigned> one = {before.value().front()};
    CHECK(sys::SetAffinity(one).ok());
    auto now = sys::GetAffinity();
    CHECK(now.ok() && now.value() == one);
    auto none = sys::SetAffinity({});
    CHECK(!none.ok() && none.error().errnum == EINVAL);
    auto absent = sys::SetAffinity({sys::kMaxCpus - 1});
    CHECK(!absent.ok() && absent.error().errnum == EINVAL);
    auto beyond = sys::SetAffinity({sys::kMaxCpus});
    CHECK(!beyond.ok() && beyond.error().errnum == EINVAL);
  });
  thread.join();
  auto after = sys::GetAffinity();
  CHECK(after.ok() && after.value() == before.value());
}

TEST(InjectsOneFault, "an armed fault hits the n-th call of that name, once") {
  sys::ArmFault("KVM_X", 2, ENOMEM);
  CHECK(sys::TakeFault("KVM_Y") == 0);
  CHECK(sys::TakeFault("KVM_X") == 0);
  CHECK(sys::TakeFault("KVM_X") == ENOMEM);
  CHECK(sys::TakeFault("KVM_X") == 0);
  sys::ArmFault("*", 1, EIO);
  CHECK(sys::TakeFault("KVM_Y") == EIO && sys::TakeFault("KVM_Y") == 0);
  sys::ArmFault("*", 1, EIO);
  sys::ArmFault("", 0, 0);
  CHECK(sys::TakeFault("KVM_X") == 0);
}

TEST(FaultHitsOneThread, "of many threads that call at once, exactly one is hit") {
  sys::ArmFault("KVM_X", 500, EIO);
  std::atomic<int> hits{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < 1000; ++call) hits += sys::TakeFault("KVM_X") == EIO ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(hits == 1);
}

}  // namespace
