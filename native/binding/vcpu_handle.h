// NativeVcpu: a vCPU for JavaScript, on the thread that created it. Its run function and its run buffer may outlive the
// handle.

#ifndef NODE_KVM_BINDING_VCPU_HANDLE_H_
#define NODE_KVM_BINDING_VCPU_HANDLE_H_

#include <napi.h>

#include <memory>

#include "kvm/vcpu.h"

namespace binding {

/** What the handle and the detached run function share. */
struct VcpuCore {
  kvm::Vcpu vcpu;
  /** Keeps the memory of the statistics while Run() may write to it. */
  Napi::ObjectReference stats;
};

class VcpuHandle {
 public:
  static constexpr napi_type_tag kTag = {0xd0b8a3f2614e4c19, 0x8e27f15b9ac34d70};
  static constexpr const char* kName = "NativeVcpu";

  static Napi::ObjectReference Prototype(Napi::Env env);
  /** createVcpu(vmFd, index, stats). */
  static Napi::Value Create(const Napi::CallbackInfo& info);

  explicit VcpuHandle(std::shared_ptr<VcpuCore> core) : core_(std::move(core)) {}

  Napi::Value Fd(const Napi::CallbackInfo& info);
  Napi::Value FailedCall(const Napi::CallbackInfo& info);
  Napi::Value GetState(const Napi::CallbackInfo& info);
  Napi::Value SetState(const Napi::CallbackInfo& info);
  Napi::Value GetMsrs(const Napi::CallbackInfo& info);
  Napi::Value SetMsrs(const Napi::CallbackInfo& info);
  Napi::Value SetCpuid(const Napi::CallbackInfo& info);
  Napi::Value SetGuestDebug(const Napi::CallbackInfo& info);
  Napi::Value Translate(const Napi::CallbackInfo& info);
  Napi::Value Interrupt(const Napi::CallbackInfo& info);
  Napi::Value Nmi(const Napi::CallbackInfo& info);
  Napi::Value RunToPort(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

 private:
  kvm::Vcpu& vcpu() { return core_->vcpu; }

  std::shared_ptr<VcpuCore> core_;
};

}  // namespace binding

#endif  // NODE_KVM_BINDING_VCPU_HANDLE_H_
