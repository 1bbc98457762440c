// Turns failures into pending JavaScript exceptions. Every function returns an empty value, so that a method can say
// `return ThrowX(...)`. On a terminating thread nothing can be thrown any more: the calls then do nothing.

#ifndef NODE_KVM_BINDING_ERRORS_H_
#define NODE_KVM_BINDING_ERRORS_H_

#include <napi.h>

#include <string>

#include "sys/result.h"

namespace binding {

/** A TypeError with code ERR_INVALID_ARG_TYPE. */
Napi::Value ThrowType(Napi::Env env, const std::string& message);
/** A RangeError with code ERR_OUT_OF_RANGE. */
Napi::Value ThrowRange(Napi::Env env, const std::string& message);
/** A HypervisorError; `code` is one of shared/errors.ts. */
Napi::Value ThrowCoded(Napi::Env env, const char* code, const std::string& message);
/** A HypervisorError ERR_SYSCALL with errno and syscall; `detail` follows the standard message. */
Napi::Value ThrowSyscall(Napi::Env env, const sys::SysError& error, const std::string& detail = "");
/** ERR_NOT_A_VM when `fd` is not a VM's descriptor, ERR_SYSCALL when something else went wrong with it. */
Napi::Value ThrowNotAVm(Napi::Env env, const sys::SysError& error, uint64_t fd);
/** ERR_DISPOSED: `what` was closed. */
Napi::Value ThrowDisposed(Napi::Env env, const char* what);

/** 0x... */
std::string Hex(uint64_t value);

}  // namespace binding

#endif  // NODE_KVM_BINDING_ERRORS_H_
