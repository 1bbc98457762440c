// The one way to make an ioctl, KVM_RUN excepted. Any thread.

#ifndef NODE_KVM_SYS_CHECKED_IOCTL_H_
#define NODE_KVM_SYS_CHECKED_IOCTL_H_

#include <sys/ioctl.h>

#include "sys/fault.h"
#include "sys/result.h"

namespace sys {

/**
 * ioctl(fd, request, argument), with fault injection, repeated while a signal interrupts it (a heartbeat may arrive in
 * any call; the calls that this library makes all start over). `name` is the request's name, for errors. SAFETY:
 * `argument` is a number, or points to the request's struct and lives through the call: the caller's duty.
 */
template <typename Argument>
Result<int> Ioctl(int fd, unsigned long request, const char* name, Argument argument) {
  if (const int fault = TakeFault(name); fault != 0) return SysError{fault, name};
  int result;
  do {
    result = ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  if (result < 0) return LastError(name);
  return result;
}

/** The same without the repetition: for a call that may have done a part of its work when a signal ends it. */
template <typename Argument>
Result<void> IoctlOnce(int fd, unsigned long request, const char* name, Argument argument) {
  if (const int fault = TakeFault(name); fault != 0) return SysError{fault, name};
  if (ioctl(fd, request, argument) < 0) return LastError(name);
  return {};
}

/** For requests whose answer is success alone. */
template <typename Argument>
Result<void> IoctlVoid(int fd, unsigned long request, const char* name, Argument argument) {
  if (auto result = Ioctl(fd, request, name, argument); !result.ok()) return result.error();
  return {};
}

}  // namespace sys

#endif  // NODE_KVM_SYS_CHECKED_IOCTL_H_
