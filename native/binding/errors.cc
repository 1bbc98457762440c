// Makes JavaScript errors with codes, of the class that native/index.ts registered on this thread.

#include "binding/errors.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "binding/addon_data.h"

namespace binding {
namespace {

// Raw Node-API with unchecked statuses throughout: each call fails while the thread terminates, and there is then
// nobody left to tell. A value that could not be made stays null, and napi_throw refuses it.

napi_value Text(napi_env env, const char* text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  return value;
}

void ThrowHypervisorError(Napi::Env env, const char* code, const std::string& message, const sys::SysError* error) {
  napi_value details = nullptr;
  napi_create_object(env, &details);
  if (error != nullptr && details != nullptr) {
    napi_value errnum = nullptr;
    napi_create_int32(env, error->errnum, &errnum);
    napi_set_named_property(env, details, "errno", errnum);
    napi_set_named_property(env, details, "syscall", Text(env, error->syscall));
  }
  AddonData& data = AddonData::Of(env);
  if (!data.error_class.IsEmpty()) {
    const napi_value arguments[] = {Text(env, code), Text(env, message.c_str()), details};
    napi_value thrown = nullptr;
    if (napi_new_instance(env, data.error_class.Value(), 3, arguments, &thrown) == napi_ok) napi_throw(env, thrown);
    return;
  }
  // The addon loaded without native/index.ts: the same properties on a plain Error.
  napi_value thrown = nullptr;
  if (napi_create_error(env, Text(env, code), Text(env, message.c_str()), &thrown) != napi_ok) return;
  if (error != nullptr) {
    for (const char* key : {"errno", "syscall"}) {
      napi_value value = nullptr;
      napi_get_named_property(env, details, key, &value);
      napi_set_named_property(env, thrown, key, value);
    }
  }
  napi_throw(env, thrown);
}

}  // namespace

Napi::Value ThrowType(Napi::Env env, const std::string& message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message.c_str());
  return {};
}

Napi::Value ThrowRange(Napi::Env env, const std::string& message) {
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message.c_str());
  return {};
}

Napi::Value ThrowCoded(Napi::Env env, const char* code, const std::string& message) {
  ThrowHypervisorError(env, code, message, nullptr);
  return {};
}

Napi::Value ThrowSyscall(Napi::Env env, const sys::SysError& error, const std::string& detail) {
  const char* name = strerrorname_np(error.errnum);
  const char* text = strerrordesc_np(error.errnum);
  std::string message = std::string(error.syscall) + ": " + (name != nullptr ? name : "errno") + " (" +
                        std::to_string(error.errnum) + "), " + (text != nullptr ? text : "unknown error");
  if (!detail.empty()) message += ": " + detail;
  ThrowHypervisorError(env, "ERR_SYSCALL", message, &error);
  return {};
}

Napi::Value ThrowNotAVm(Napi::Env env, const sys::SysError& error, uint64_t fd) {
  if (error.errnum != ENOTTY && error.errnum != EBADF) return ThrowSyscall(env, error);
  return ThrowCoded(
      env, "ERR_NOT_A_VM",
      "descriptor " + std::to_string(fd) + (error.errnum == EBADF ? " is not open" : " is not a KVM VM's"));
}

Napi::Value ThrowDisposed(Napi::Env env, const char* what) {
  return ThrowCoded(env, "ERR_DISPOSED", std::string("the ") + what + " was closed");
}

std::string Hex(uint64_t value) {
  char text[2 + 16 + 1];
  snprintf(text, sizeof(text), "0x%" PRIx64, value);
  return text;
}

}  // namespace binding
