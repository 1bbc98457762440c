// wakeAnswer, wakeAsk, wakeAnswerEvent, serveExits: the words are checked here, work is done in sys/.

#include "binding/wake.h"

#include <vector>

#include "binding/args.h"
#include "binding/errors.h"
#include "binding/event_waiter_handle.h"
#include "binding/handle.h"
#include "binding/values.h"
#include "sys/hand_over.h"
#include "sys/wake.h"

namespace binding {
namespace {

/** vCPUs that one thread serves. */
constexpr size_t kServedMax = 1024;

}  // namespace

Napi::Value WakeAnswer(const Napi::CallbackInfo& info) {
  Args args(info);
  const sys::WakeWords words = {args.SharedWords<uint32_t>(0, "asked"), args.SharedWords<uint32_t>(1, "answered")};
  const uint32_t seen = args.U32(2, "seen");
  const uint32_t over = args.U32(3, "over");
  if (args.failed()) return {};
  return Number(info.Env(), sys::WakeAnswer(words, seen, over));
}

Napi::Value WakeAsk(const Napi::CallbackInfo& info) {
  Args args(info);
  const sys::WakeWords words = {args.SharedWords<uint32_t>(0, "asked"), args.SharedWords<uint32_t>(1, "answered")};
  const uint32_t last = args.U32(2, "last");
  const uint32_t count = args.U32(3, "count");
  const std::span<double> samples = args.F64Array(4, "samples");
  if (args.failed()) return {};
  return Number(info.Env(), static_cast<double>(sys::WakeAsk(words, last, count, samples)));
}

Napi::Value WakeAnswerEvent(const Napi::CallbackInfo& info) {
  Args args(info);
  auto* handle = Unwrap<EventWaiterHandle>(info.Env(), args.At(0));
  if (handle == nullptr) args.FailType("waiter", "a NativeEventWaiter");
  const sys::WakeWords words = {args.SharedWords<uint32_t>(1, "asked"), args.SharedWords<uint32_t>(2, "answered")};
  auto* count = args.SharedWords<uint32_t>(3, "count");
  if (args.failed()) return {};
  if (handle->waiter() == nullptr) return ThrowDisposed(info.Env(), "eventfd waiter");
  auto more = sys::WakeAnswerEvent(*handle->waiter(), words, count);
  if (!more.ok()) return ThrowSyscall(info.Env(), more.error());
  return Napi::Boolean::New(info.Env(), more.value());
}

Napi::Value ServeExits(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::vector<std::span<uint8_t>> list = args.BytesList(1, "exits", kServedMax);
  const auto* bell = args.SharedWords<uint32_t>(0, "bell");
  std::vector<sys::ExitWords*> vcpus;
  for (const std::span<uint8_t>& each : list) {
    if (args.failed() || !args.AreWords(each, "every element of exits", sizeof(sys::ExitWords))) return {};
    // SAFETY: size and alignment checked; the list keeps its elements alive during the call.
    vcpus.push_back(reinterpret_cast<sys::ExitWords*>(each.data()));
  }
  if (args.failed()) return {};
  sys::ServeExits(vcpus, bell);
  return info.Env().Undefined();
}

}  // namespace binding
