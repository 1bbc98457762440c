// The kick signal, its handler that does nothing, and the POSIX timer behind a heartbeat.

#include "sys/kick.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc has no name for the field that SIGEV_THREAD_ID reads before version 2.34's headers.
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace sys {
namespace {

// Real-time signals are not used by Node, libuv or V8; glibc takes those below SIGRTMIN. Not the first ones, which
// profilers like.
constexpr int kOffset = 7;

void DoNothing(int) {}

Result<void> Install() {
  struct sigaction action = {};
  action.sa_handler = DoNothing;
  sigemptyset(&action.sa_mask);
  if (sigaction(KickSignal(), &action, nullptr) != 0) return LastError("sigaction");
  return {};
}

}  // namespace

int KickSignal() { return SIGRTMIN + kOffset; }

Result<void> InstallKickHandler() {
  static const Result<void> installed = Install();
  return installed;
}

pid_t ThreadId() { return static_cast<pid_t>(syscall(SYS_gettid)); }

Result<bool> Kick(pid_t tid) {
  if (auto installed = InstallKickHandler(); !installed.ok()) return installed.error();
  // tgkill, not tkill: a thread id that was reused by another process is refused by the kernel.
  if (syscall(SYS_tgkill, getpid(), tid, KickSignal()) == 0) return true;
  if (errno == ESRCH) return false;
  // RLIMIT_SIGPENDING, which counts the signals of all of the user's processes. The thread is there, and its heartbeat comes
  // through: a timer's signal was allocated with the timer.
  if (errno == EAGAIN) return true;
  return LastError("tgkill");
}

Result<Heartbeat> Heartbeat::Start(unsigned period_ms) {
  if (auto installed = InstallKickHandler(); !installed.ok()) return installed.error();
  struct sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = KickSignal();
  event.sigev_notify_thread_id = ThreadId();
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return LastError("timer_create");
  Heartbeat heartbeat(timer);
  struct itimerspec spec = {};
  spec.it_interval.tv_sec = static_cast<time_t>(period_ms / 1000);
  spec.it_interval.tv_nsec = static_cast<long>(period_ms % 1000) * 1'000'000;
  spec.it_value = spec.it_interval;
  if (timer_settime(timer, 0, &spec, nullptr) != 0) return LastError("timer_settime");
  return heartbeat;
}

Heartbeat& Heartbeat::operator=(Heartbeat&& other) noexcept {
  if (this != &other) {
    Stop();
    timer_ = std::exchange(other.timer_, std::nullopt);
  }
  return *this;
}

void Heartbeat::Stop() {
  if (timer_.has_value()) timer_delete(*timer_);
  timer_.reset();
}

}  // namespace sys
