// threadId, kick, heartbeat, setAffinity, getAffinity, monotonicNs, injectFault.

#include "binding/thread.h"

#include "binding/addon_data.h"
#include "binding/args.h"
#include "binding/errors.h"
#include "binding/values.h"
#include "sys/affinity.h"
#include "sys/clock.h"
#include "sys/fault.h"
#include "sys/kick.h"

namespace binding {
namespace {

constexpr uint64_t kMaxHeartbeatMs = 3'600'000;
constexpr uint64_t kMaxErrno = 4095;

}  // namespace

Napi::Value ThreadId(const Napi::CallbackInfo& info) { return Number(info.Env(), sys::ThreadId()); }

Napi::Value Kick(const Napi::CallbackInfo& info) {
  Args args(info);
  const auto tid = static_cast<pid_t>(args.Integer(0, "tid", INT32_MAX, 1));
  if (args.failed()) return {};
  auto kicked = sys::Kick(tid);
  if (!kicked.ok()) return ThrowSyscall(info.Env(), kicked.error());
  return Napi::Boolean::New(info.Env(), kicked.value());
}

Napi::Value Heartbeat(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint64_t period = args.Integer(0, "periodMs", kMaxHeartbeatMs);
  if (args.failed()) return {};
  sys::Heartbeat& heartbeat = AddonData::Of(info.Env()).heartbeat;
  if (period == 0) {
    heartbeat.Stop();
    return info.Env().Undefined();
  }
  auto started = sys::Heartbeat::Start(static_cast<unsigned>(period));
  if (!started.ok()) return ThrowSyscall(info.Env(), started.error());
  heartbeat = std::move(started.value());
  return info.Env().Undefined();
}

Napi::Value SetAffinity(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::vector<uint64_t> given = args.Integers(0, "cpus", sys::kMaxCpus, sys::kMaxCpus - 1);
  if (args.failed()) return {};
  return UndefinedOrThrow(info.Env(), sys::SetAffinity(std::vector<unsigned>(given.begin(), given.end())));
}

Napi::Value GetAffinity(const Napi::CallbackInfo& info) {
  auto cpus = sys::GetAffinity();
  if (!cpus.ok()) return ThrowSyscall(info.Env(), cpus.error());
  napi_value array = nullptr;
  if (napi_create_array_with_length(info.Env(), cpus.value().size(), &array) != napi_ok) return {};
  uint32_t index = 0;
  for (const unsigned cpu : cpus.value()) napi_set_element(info.Env(), array, index++, Number(info.Env(), cpu));
  return {info.Env(), array};
}

Napi::Value MonotonicNs(const Napi::CallbackInfo& info) {
  return Number(info.Env(), static_cast<double>(sys::MonotonicNs()));
}

Napi::Value InjectFault(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::string ioctl = args.String(0, "ioctl");
  const uint32_t nth = static_cast<uint32_t>(args.Integer(1, "nth", UINT32_MAX, ioctl.empty() ? 0 : 1));
  const int errnum = static_cast<int>(args.Integer(2, "errno", kMaxErrno, ioctl.empty() ? 0 : 1));
  if (args.failed()) return {};
  sys::ArmFault(ioctl, nth, errnum);
  return info.Env().Undefined();
}

}  // namespace binding
