// The one armed fault of the process and its lock.

#include "sys/fault.h"

#include <atomic>
#include <mutex>

namespace sys {
namespace {

// Process-wide on purpose: a test arms it on the main thread for an ioctl that a worker makes.
struct Fault {
  std::atomic<bool> armed{false};
  std::mutex mutex;  // guards what follows
  std::string name;
  unsigned remaining = 0;
  int errnum = 0;
};

Fault& TheFault() {
  // Never destroyed: worker threads may still ask while the process's static objects are being destroyed.
  static Fault* const fault = new Fault;
  return *fault;
}

}  // namespace

void ArmFault(const std::string& name, unsigned nth, int errnum) {
  Fault& fault = TheFault();
  const std::lock_guard lock(fault.mutex);
  fault.name = name;
  fault.remaining = nth;
  fault.errnum = errnum;
  fault.armed.store(!name.empty() && nth > 0, std::memory_order_relaxed);
}

int TakeFault(const char* name) {
  Fault& fault = TheFault();
  // Relaxed: a test orders arming and the call by other means (a message, a join); there is nothing else to
  // synchronise.
  if (!fault.armed.load(std::memory_order_relaxed)) [[likely]]
    return 0;
  const std::lock_guard lock(fault.mutex);
  if (!fault.armed.load(std::memory_order_relaxed)) return 0;
  if (fault.name != "*" && fault.name != name) return 0;
  if (--fault.remaining > 0) return 0;
  fault.armed.store(false, std::memory_order_relaxed);
  return fault.errnum;
}

}  // namespace sys
