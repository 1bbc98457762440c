// The one way to make an ioctl on a KVM descriptor, KVM_RUN excepted. Any thread.

#ifndef NODE_KVM_KVM_IOCTL_H_
#define NODE_KVM_KVM_IOCTL_H_

#include <sys/ioctl.h>

#include "sys/fault.h"
#include "sys/result.h"

namespace kvm {

/**
 * ioctl(fd, request, argument), with fault injection, repeated while a signal interrupts it (a heartbeat may arrive in
 * any call; the calls that this library makes all start over). `name` is the request's name, for errors. SAFETY:
 * `argument` is a number, or points to the request's struct and lives through the call: the caller's duty.
 */
template <typename Argument>
sys::Result<int> Ioctl(int fd, unsigned long request, const char* name, Argument argument) {
  if (const int fault = sys::TakeFault(name); fault != 0) return sys::SysError{fault, name};
  int result;
  do {
    result = ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  if (result < 0) return sys::LastError(name);
  return result;
}

/** For requests whose answer is success alone. */
template <typename Argument>
sys::Result<void> IoctlVoid(int fd, unsigned long request, const char* name, Argument argument) {
  if (auto result = Ioctl(fd, request, name, argument); !result.ok()) return result.error();
  return {};
}

}  // namespace kvm

#endif  // NODE_KVM_KVM_IOCTL_H_
