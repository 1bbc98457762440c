// NativeSystem: /dev/kvm for JavaScript. One per call of openSystem(), on the thread that called it.

#ifndef NODE_KVM_BINDING_SYSTEM_HANDLE_H_
#define NODE_KVM_BINDING_SYSTEM_HANDLE_H_

#include <napi.h>

#include <optional>

#include "kvm/system.h"

namespace binding {

class SystemHandle {
 public:
  static constexpr napi_type_tag kTag = {0x7b1d4c0de5a94f3e, 0x9f3a6d2c1e8b4a57};
  static constexpr const char* kName = "NativeSystem";

  static Napi::ObjectReference Prototype(Napi::Env env);
  /** openSystem(path). */
  static Napi::Value Open(const Napi::CallbackInfo& info);

  explicit SystemHandle(kvm::System system) : system_(std::move(system)) {}

  Napi::Value ApiVersion(const Napi::CallbackInfo& info);
  Napi::Value CheckExtension(const Napi::CallbackInfo& info);
  Napi::Value VcpuMmapSize(const Napi::CallbackInfo& info);
  Napi::Value SupportedCpuid(const Napi::CallbackInfo& info);
  Napi::Value MsrIndexList(const Napi::CallbackInfo& info);
  Napi::Value CreateVm(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

 private:
  std::optional<kvm::System> system_;  // empty: closed
};

}  // namespace binding

#endif  // NODE_KVM_BINDING_SYSTEM_HANDLE_H_
