// NativeVm: a VM for JavaScript, and the buffers that its slots keep alive. On the thread that created it, the
// coordinator's.

#ifndef NODE_KVM_BINDING_VM_HANDLE_H_
#define NODE_KVM_BINDING_VM_HANDLE_H_

#include <napi.h>

#include <map>

#include "kvm/vm.h"

namespace binding {

class VmHandle {
 public:
  static constexpr napi_type_tag kTag = {0x2c9e01f7b36d4a88, 0xa45dd7e90c1f4b62};
  static constexpr const char* kName = "NativeVm";

  static Napi::ObjectReference Prototype(Napi::Env env);
  static Napi::Value New(Napi::Env env, kvm::Vm vm);
  /** attachVm(fd). */
  static Napi::Value Attach(const Napi::CallbackInfo& info);

  explicit VmHandle(kvm::Vm vm) : vm_(std::move(vm)) {}
  ~VmHandle() { Release(); }

  Napi::Value Fd(const Napi::CallbackInfo& info);
  Napi::Value CheckExtension(const Napi::CallbackInfo& info);
  Napi::Value EnableCap(const Napi::CallbackInfo& info);
  Napi::Value SetMemoryRegion(const Napi::CallbackInfo& info);
  Napi::Value OrDirtyLog(const Napi::CallbackInfo& info);
  Napi::Value SetManualLog(const Napi::CallbackInfo& info);
  Napi::Value ClearDirtyLog(const Napi::CallbackInfo& info);
  Napi::Value EnableDirtyRing(const Napi::CallbackInfo& info);
  Napi::Value CollectRings(const Napi::CallbackInfo& info);
  Napi::Value RingCounters(const Napi::CallbackInfo& info);
  Napi::Value CreateIrqchip(const Napi::CallbackInfo& info);
  Napi::Value SplitIrqchip(const Napi::CallbackInfo& info);
  Napi::Value SetMsiRoutes(const Napi::CallbackInfo& info);
  Napi::Value SignalMsi(const Napi::CallbackInfo& info);
  Napi::Value CreatePit(const Napi::CallbackInfo& info);
  Napi::Value SetTssAddr(const Napi::CallbackInfo& info);
  Napi::Value SetIdentityMapAddr(const Napi::CallbackInfo& info);
  Napi::Value IrqLine(const Napi::CallbackInfo& info);
  Napi::Value AssignIoEventFd(const Napi::CallbackInfo& info);
  Napi::Value DeassignIoEventFd(const Napi::CallbackInfo& info);
  Napi::Value AssignIrqFd(const Napi::CallbackInfo& info);
  Napi::Value DeassignIrqFd(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

 private:
  void Release();

  kvm::Vm vm_;
  /** By slot: the buffer whose memory the guest reaches through it. Slots over external memory have none. */
  std::map<uint32_t, Napi::ObjectReference> owners_;
};

}  // namespace binding

#endif  // NODE_KVM_BINDING_VM_HANDLE_H_
