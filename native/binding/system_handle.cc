// The methods of a NativeSystem.

#include "binding/system_handle.h"

#include <cstring>

#include "binding/args.h"
#include "binding/handle.h"
#include "binding/values.h"
#include "binding/vm_handle.h"

namespace binding {

Napi::ObjectReference SystemHandle::Prototype(Napi::Env env) {
  return NewPrototype(env, {
                               Method<&SystemHandle::ApiVersion>("apiVersion"),
                               Method<&SystemHandle::CheckExtension>("checkExtension"),
                               Method<&SystemHandle::VcpuMmapSize>("vcpuMmapSize"),
                               Method<&SystemHandle::SupportedCpuid>("supportedCpuid"),
                               Method<&SystemHandle::MsrIndexList>("msrIndexList"),
                               Method<&SystemHandle::CreateVm>("createVm"),
                               Method<&SystemHandle::Close>("close"),
                           });
}

Napi::Value SystemHandle::Open(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::string path = args.String(0, "path");
  if (args.failed()) return {};
  auto system = kvm::System::Open(path.c_str());
  if (!system.ok()) return ThrowSyscall(info.Env(), system.error(), path);
  auto handle = std::make_unique<SystemHandle>(std::move(system.value()));
  return NewHandle(info.Env(), AddonData::Of(info.Env()).system_prototype, std::move(handle));
}

Napi::Value SystemHandle::ApiVersion(const Napi::CallbackInfo& info) {
  if (!system_.has_value()) return ThrowDisposed(info.Env(), "system");
  return NumberOrThrow(info.Env(), system_->ApiVersion());
}

Napi::Value SystemHandle::CheckExtension(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t cap = args.U32(0, "cap");
  if (args.failed()) return {};
  if (!system_.has_value()) return ThrowDisposed(info.Env(), "system");
  return NumberOrThrow(info.Env(), system_->CheckExtension(cap));
}

Napi::Value SystemHandle::VcpuMmapSize(const Napi::CallbackInfo& info) {
  if (!system_.has_value()) return ThrowDisposed(info.Env(), "system");
  return NumberOrThrow(info.Env(), system_->VcpuMmapSize());
}

Napi::Value SystemHandle::SupportedCpuid(const Napi::CallbackInfo& info) {
  if (!system_.has_value()) return ThrowDisposed(info.Env(), "system");
  auto bytes = system_->SupportedCpuid();
  if (!bytes.ok()) return ThrowSyscall(info.Env(), bytes.error());
  return NewTypedArray<uint8_t>(info.Env(), napi_uint8_array, bytes.value());
}

Napi::Value SystemHandle::MsrIndexList(const Napi::CallbackInfo& info) {
  if (!system_.has_value()) return ThrowDisposed(info.Env(), "system");
  auto indices = system_->MsrIndexList();
  if (!indices.ok()) return ThrowSyscall(info.Env(), indices.error());
  return NewTypedArray<uint32_t>(info.Env(), napi_uint32_array, indices.value());
}

Napi::Value SystemHandle::CreateVm(const Napi::CallbackInfo& info) {
  if (!system_.has_value()) return ThrowDisposed(info.Env(), "system");
  auto vm = system_->CreateVm();
  if (!vm.ok()) return ThrowSyscall(info.Env(), vm.error());
  return VmHandle::New(info.Env(), std::move(vm.value()));
}

Napi::Value SystemHandle::Close(const Napi::CallbackInfo& info) {
  system_.reset();
  return info.Env().Undefined();
}

}  // namespace binding
