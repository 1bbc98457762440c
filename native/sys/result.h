// The error type of the native layers and the value-or-error that carries it. No exception crosses any layer: a failed
// system call becomes a SysError at the very call (errno is overwritten by the next one) and travels up to the binding
// as a value.

#ifndef NODE_KVM_SYS_RESULT_H_
#define NODE_KVM_SYS_RESULT_H_

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <utility>

namespace sys {

/** What failed: `errnum` as in <errno.h> and the name of the system call or ioctl (a string literal). */
struct SysError {
  int errnum;
  const char* syscall;
};

/** The error of the system call that just returned a failure. */
inline SysError LastError(const char* syscall) { return SysError{errno, syscall}; }

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT: implicit, so that `return value;` reads as it should
  Result(SysError error) : error_(error) {}      // NOLINT

  bool ok() const { return value_.has_value(); }
  /** Only after ok(): a result is either a value or an error, and asking for the wrong one is a bug of ours. */
  T& value() {
    if (!value_.has_value()) abort();
    return *value_;
  }
  const SysError& error() const {
    if (value_.has_value()) abort();
    return error_;
  }

 private:
  std::optional<T> value_;
  SysError error_{0, ""};
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(SysError error) : error_(error), ok_(false) {}  // NOLINT

  bool ok() const { return ok_; }
  const SysError& error() const {
    if (ok_) abort();
    return error_;
  }

 private:
  SysError error_{0, ""};
  bool ok_ = true;
};

}  // namespace sys

#endif  // NODE_KVM_SYS_RESULT_H_
