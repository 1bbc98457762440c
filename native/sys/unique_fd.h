// Owns a file descriptor: move-only, closes it once. Any thread; not shared between threads without a lock of the
// owner's.

#ifndef NODE_KVM_SYS_UNIQUE_FD_H_
#define NODE_KVM_SYS_UNIQUE_FD_H_

#include <fcntl.h>
#include <unistd.h>

#include "sys/result.h"

namespace sys {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  /** Closes the descriptor. Linux frees it even when close() reports EINTR, so it is never called twice. */
  void Reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

  /** open(2), close-on-exec: a child process must not inherit /dev/kvm or guest memory. */
  static Result<UniqueFd> Open(const char* path, int flags) {
    int fd;
    do {
      fd = open(path, flags | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return LastError("open");
    return UniqueFd(fd);
  }

  /** fcntl(F_DUPFD_CLOEXEC): our own descriptor of somebody else's open file. */
  static Result<UniqueFd> Dup(int fd) {
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return LastError("fcntl");
    return UniqueFd(copy);
  }

 private:
  int fd_ = -1;
};

}  // namespace sys

#endif  // NODE_KVM_SYS_UNIQUE_FD_H_
