// The methods of a NativeVcpuCounters.

#include "binding/vcpu_counters_handle.h"

#include "binding/args.h"
#include "binding/handle.h"
#include "binding/values.h"

namespace binding {

Napi::ObjectReference VcpuCountersHandle::Prototype(Napi::Env env) {
  return NewPrototype(env, {
                               Method<&VcpuCountersHandle::Read>("read"),
                               Method<&VcpuCountersHandle::Close>("close"),
                           });
}

Napi::Value VcpuCountersHandle::Open(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t fd = args.U32(0, "vcpuFd", INT32_MAX);
  if (args.failed()) return {};
  auto counters = kvm::VcpuCounters::Open(static_cast<int>(fd));
  if (!counters.ok()) return ThrowSyscall(info.Env(), counters.error(), "descriptor " + std::to_string(fd));
  return NewHandle(info.Env(), AddonData::Of(info.Env()).vcpu_counters_prototype,
                   std::make_unique<VcpuCountersHandle>(std::move(counters.value())));
}

Napi::Value VcpuCountersHandle::Read(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::string name = args.String(0, "name");
  if (args.failed()) return {};
  if (!counters_.open()) return ThrowDisposed(info.Env(), "vCPU counters");
  auto value = counters_.Read(name);
  if (!value.ok()) return ThrowSyscall(info.Env(), value.error(), name);
  if (!value.value().has_value()) return info.Env().Undefined();
  return Number(info.Env(), static_cast<double>(*value.value()));
}

Napi::Value VcpuCountersHandle::Close(const Napi::CallbackInfo& info) {
  counters_.Close();
  return info.Env().Undefined();
}

}  // namespace binding
