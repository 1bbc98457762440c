// NativeVcpuCounters: KVM's own counters of a vCPU for JavaScript. On the thread that opened it, which need not be the
// vCPU's.

#ifndef NODE_KVM_BINDING_VCPU_COUNTERS_HANDLE_H_
#define NODE_KVM_BINDING_VCPU_COUNTERS_HANDLE_H_

#include <napi.h>

#include "kvm/vcpu_counters.h"

namespace binding {

class VcpuCountersHandle {
 public:
  static constexpr napi_type_tag kTag = {0x93a7e1540b6c4d28, 0xa0c5d97f4e1832b6};
  static constexpr const char* kName = "NativeVcpuCounters";

  static Napi::ObjectReference Prototype(Napi::Env env);
  /** openVcpuCounters(vcpuFd). */
  static Napi::Value Open(const Napi::CallbackInfo& info);

  explicit VcpuCountersHandle(kvm::VcpuCounters counters) : counters_(std::move(counters)) {}

  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

 private:
  kvm::VcpuCounters counters_;
};

}  // namespace binding

#endif  // NODE_KVM_BINDING_VCPU_COUNTERS_HANDLE_H_
