// The methods of a NativeVcpu, and its run function.

#include "binding/vcpu_handle.h"

#include <cstring>
#include <vector>

#include "binding/args.h"
#include "binding/handle.h"
#include "binding/shared_buffer.h"
#include "binding/values.h"

namespace binding {
namespace {

/**
 * run(): raw Node-API and the core's pointer from the function itself, because this is the hot path: no receiver to
 * check, no arguments to convert, and a small integer to return.
 */
napi_value Run(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  if (napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data) != napi_ok) return nullptr;
  // SAFETY: NewRunFunction made the function own a reference to the core.
  auto* core = static_cast<VcpuCore*>(data);
  if (!core->vcpu.open()) return ThrowDisposed(env, "vCPU");
  napi_value result = nullptr;
  napi_create_int32(env, core->vcpu.Run(), &result);
  return result;
}

/**
 * The run function: native code within one JavaScript frame. V8 acts on worker.terminate() and process.exit() where a
 * JavaScript function is entered, but not at every turn of an unoptimised loop, and not where native code is entered: a
 * loop around the bare native function would go on for thousands of heartbeats.
 */
napi_value NewRunFunction(napi_env env, const std::shared_ptr<VcpuCore>& core) {
  napi_value native = nullptr;
  if (napi_create_function(env, "run", NAPI_AUTO_LENGTH, Run, core.get(), &native) != napi_ok) return nullptr;
  auto holder = std::make_unique<std::shared_ptr<VcpuCore>>(core);
  const auto drop = [](napi_env, void* raw, void*) { delete static_cast<std::shared_ptr<VcpuCore>*>(raw); };
  if (napi_add_finalizer(env, native, holder.get(), drop, nullptr, nullptr) != napi_ok) return nullptr;
  // SAFETY: `drop` deletes it with the function.
  static_cast<void>(holder.release());
  napi_value receiver = nullptr;
  napi_value wrapped = nullptr;
  napi_get_undefined(env, &receiver);
  if (napi_call_function(env, receiver, AddonData::Of(env).wrap_run.Value(), 1, &native, &wrapped) != napi_ok)
    return nullptr;
  return wrapped;
}

struct NamedState {
  const char* name;
  kvm::VcpuState state;
};
constexpr NamedState kStates[] = {
    {"regs", kvm::VcpuState::kRegs},     {"sregs", kvm::VcpuState::kSregs},
    {"fpu", kvm::VcpuState::kFpu},       {"xsave", kvm::VcpuState::kXsave},
    {"xcrs", kvm::VcpuState::kXcrs},     {"debugregs", kvm::VcpuState::kDebugregs},
    {"events", kvm::VcpuState::kEvents}, {"mpState", kvm::VcpuState::kMpState},
    {"lapic", kvm::VcpuState::kLapic},
};

/** The state that an argument names, with the bytes of the next one, whose length must be exactly the state's. */
kvm::VcpuState StateArgument(Args& args, std::span<uint8_t>& bytes) {
  const std::string name = args.String(0, "name");
  bytes = args.Bytes(1, "buffer");
  for (const NamedState& entry : kStates) {
    if (name != entry.name) continue;
    const size_t size = kvm::StateSize(entry.state);
    if (bytes.size() != size)
      args.FailRange("the buffer for " + name + " must have " + std::to_string(size) + " bytes, got " +
                     std::to_string(bytes.size()));
    return entry.state;
  }
  args.FailRange("unknown vCPU state '" + name + "'");
  return kvm::VcpuState::kRegs;
}

Napi::Value ThrowMsr(Napi::Env env, const char* syscall, uint32_t index) {
  // KVM reports a refused MSR by its position alone, without an errno.
  return ThrowSyscall(env, sys::SysError{EINVAL, syscall}, "MSR " + Hex(index) + " was refused");
}

}  // namespace

Napi::ObjectReference VcpuHandle::Prototype(Napi::Env env) {
  return NewPrototype(env, {
                               Getter<&VcpuHandle::Fd>("fd"),
                               Getter<&VcpuHandle::FailedCall>("failedCall"),
                               Method<&VcpuHandle::GetState>("getState"),
                               Method<&VcpuHandle::SetState>("setState"),
                               Method<&VcpuHandle::GetMsrs>("getMsrs"),
                               Method<&VcpuHandle::SetMsrs>("setMsrs"),
                               Method<&VcpuHandle::SetCpuid>("setCpuid"),
                               Method<&VcpuHandle::SetGuestDebug>("setGuestDebug"),
                               Method<&VcpuHandle::Translate>("translate"),
                               Method<&VcpuHandle::Interrupt>("interrupt"),
                               Method<&VcpuHandle::Nmi>("nmi"),
                               Method<&VcpuHandle::RunToPort>("runToPort"),
                               Method<&VcpuHandle::Close>("close"),
                           });
}

Napi::Value VcpuHandle::Create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Args args(info);
  const uint32_t vm_fd = args.U32(0, "vmFd", INT32_MAX);
  const uint32_t index = args.U32(1, "index");
  const std::span<uint8_t> stats = args.SharedBytes(2, "stats");
  if (args.failed()) return {};
  if (stats.size() < sizeof(kvm::VcpuStats) ||
      reinterpret_cast<uintptr_t>(stats.data()) % alignof(kvm::VcpuStats) != 0) {
    return ThrowRange(env,
                      "stats must have " + std::to_string(sizeof(kvm::VcpuStats)) + " bytes at least, 8-byte aligned");
  }
  // SAFETY: size and alignment checked; plain words; the core keeps the buffer alive, and shared memory is never
  // detached.
  auto created = kvm::Vcpu::Create(static_cast<int>(vm_fd), index, reinterpret_cast<kvm::VcpuStats*>(stats.data()));
  if (!created.ok()) {
    if (created.error().errnum == ENOTTY || created.error().errnum == EBADF)
      return ThrowNotAVm(env, created.error(), vm_fd);
    return ThrowSyscall(env, created.error(), "vCPU " + std::to_string(index));
  }
  auto core =
      std::make_shared<VcpuCore>(VcpuCore{std::move(created.value()), Napi::Persistent(args.At(2).As<Napi::Object>())});

  const Napi::Value buffer = NewSharedBuffer(env, core->vcpu.run_mapping());
  if (buffer.IsEmpty()) return {};
  const napi_value run = NewRunFunction(env, core);
  const Napi::Value handle = NewHandle(env, AddonData::Of(env).vcpu_prototype, std::make_unique<VcpuHandle>(core));
  if (run == nullptr || handle.IsEmpty()) return {};
  const napi_property_descriptor properties[] = {
      {"runBuffer", nullptr, nullptr, nullptr, nullptr, buffer, napi_enumerable, nullptr},
      {"run", nullptr, nullptr, nullptr, nullptr, run, napi_enumerable, nullptr},
  };
  if (napi_define_properties(env, handle, 2, properties) != napi_ok) return {};
  return handle;
}

Napi::Value VcpuHandle::Fd(const Napi::CallbackInfo& info) {
  if (!vcpu().open()) return ThrowDisposed(info.Env(), "vCPU");
  return Number(info.Env(), vcpu().fd());
}

Napi::Value VcpuHandle::FailedCall(const Napi::CallbackInfo& info) {
  napi_value text = nullptr;
  napi_create_string_utf8(info.Env(), vcpu().failed_call(), NAPI_AUTO_LENGTH, &text);
  return {info.Env(), text};
}

Napi::Value VcpuHandle::GetState(const Napi::CallbackInfo& info) {
  Args args(info);
  std::span<uint8_t> into;
  const kvm::VcpuState state = StateArgument(args, into);
  if (args.failed()) return {};
  if (!vcpu().open()) return ThrowDisposed(info.Env(), "vCPU");
  // Through memory of our own: the kernel's struct needs its alignment, and a failed call must leave `into` as it was.
  alignas(64) uint8_t bytes[kvm::kMaxStateSize];
  auto done = vcpu().GetState(state, bytes);
  if (done.ok()) memcpy(into.data(), bytes, into.size());
  return UndefinedOrThrow(info.Env(), done);
}

Napi::Value VcpuHandle::SetState(const Napi::CallbackInfo& info) {
  Args args(info);
  std::span<uint8_t> from;
  const kvm::VcpuState state = StateArgument(args, from);
  if (args.failed()) return {};
  if (!vcpu().open()) return ThrowDisposed(info.Env(), "vCPU");
  alignas(64) uint8_t bytes[kvm::kMaxStateSize];
  memcpy(bytes, from.data(), from.size());
  return UndefinedOrThrow(info.Env(), vcpu().SetState(state, bytes));
}

Napi::Value VcpuHandle::GetMsrs(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint32_t> given = args.U32Array(0, "indices");
  if (args.failed()) return {};
  if (!vcpu().open()) return ThrowDisposed(info.Env(), "vCPU");
  const std::vector<uint32_t> indices(given.begin(), given.end());
  std::vector<uint64_t> values(indices.size());
  auto outcome = vcpu().GetMsrs(indices, values);
  if (!outcome.ok()) return ThrowSyscall(info.Env(), outcome.error());
  if (outcome.value().refused.has_value()) return ThrowMsr(info.Env(), "KVM_GET_MSRS", *outcome.value().refused);
  return NewTypedArray<uint64_t>(info.Env(), napi_biguint64_array, values);
}

Napi::Value VcpuHandle::SetMsrs(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint32_t> given = args.U32Array(0, "indices");
  const std::span<uint64_t> values = args.U64Array(1, "values");
  if (args.failed()) return {};
  if (given.size() != values.size()) return ThrowRange(info.Env(), "indices and values must have the same length");
  if (!vcpu().open()) return ThrowDisposed(info.Env(), "vCPU");
  const std::vector<uint32_t> indices(given.begin(), given.end());
  auto outcome = vcpu().SetMsrs(indices, values);
  if (!outcome.ok()) return ThrowSyscall(info.Env(), outcome.error());
  if (outcome.value().refused.has_value()) return ThrowMsr(info.Env(), "KVM_SET_MSRS", *outcome.value().refused);
  return info.Env().Undefined();
}

Napi::Value VcpuHandle::SetCpuid(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> entries = args.Bytes(0, "entries");
  if (args.failed()) return {};
  if (entries.size() % kvm::Vcpu::kCpuidEntrySize != 0) {
    return ThrowRange(info.Env(),
                      "entries must be whole entries of " + std::to_string(kvm::Vcpu::kCpuidEntrySize) + " bytes");
  }
  if (!vcpu().open()) return ThrowDisposed(info.Env(), "vCPU");
  return UndefinedOrThrow(info.Env(), vcpu().SetCpuid(entries));
}

Napi::Value VcpuHandle::SetGuestDebug(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> from = args.Bytes(0, "from");
  if (args.failed()) return {};
  if (from.size() != kvm::Vcpu::kGuestDebugSize) {
    return ThrowRange(info.Env(), "from must have " + std::to_string(kvm::Vcpu::kGuestDebugSize) + " bytes");
  }
  if (!vcpu().open()) return ThrowDisposed(info.Env(), "vCPU");
  alignas(8) uint8_t bytes[kvm::Vcpu::kGuestDebugSize];
  memcpy(bytes, from.data(), sizeof(bytes));
  return UndefinedOrThrow(info.Env(), vcpu().SetGuestDebug(bytes));
}

Napi::Value VcpuHandle::Translate(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint64_t linear = args.BigInt(0, "linear");
  if (args.failed()) return {};
  if (!vcpu().open()) return ThrowDisposed(info.Env(), "vCPU");
  auto physical = vcpu().Translate(linear);
  if (!physical.ok()) return ThrowSyscall(info.Env(), physical.error());
  if (!physical.value().has_value()) return info.Env().Undefined();
  return BigUint(info.Env(), *physical.value());
}

Napi::Value VcpuHandle::Interrupt(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t vector = args.U32(0, "vector", 255);
  if (args.failed()) return {};
  if (!vcpu().open()) return ThrowDisposed(info.Env(), "vCPU");
  return UndefinedOrThrow(info.Env(), vcpu().Interrupt(vector));
}

Napi::Value VcpuHandle::Nmi(const Napi::CallbackInfo& info) {
  if (!vcpu().open()) return ThrowDisposed(info.Env(), "vCPU");
  return UndefinedOrThrow(info.Env(), vcpu().Nmi());
}

Napi::Value VcpuHandle::RunToPort(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint32_t port = args.U32(0, "port", UINT16_MAX);
  auto* exits = args.SharedWords<sys::ExitWords>(1, "exits");
  auto* bell = args.At(2).IsNull() ? nullptr : args.SharedWords<uint32_t>(2, "bell");
  if (args.failed()) return {};
  if (!vcpu().open()) return ThrowDisposed(info.Env(), "vCPU");
  return Number(info.Env(), vcpu().RunToPort(static_cast<uint16_t>(port), exits, bell));
}

Napi::Value VcpuHandle::Close(const Napi::CallbackInfo& info) {
  vcpu().Close();
  return info.Env().Undefined();
}

}  // namespace binding
