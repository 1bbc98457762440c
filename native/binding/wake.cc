// wakeAnswer, wakeAsk: the words are checked here, work is done in sys/.

#include "binding/wake.h"

#include "binding/args.h"
#include "binding/errors.h"
#include "binding/values.h"
#include "sys/wake.h"

namespace binding {
namespace {

/** A word of shared memory; null, and the arguments have failed, where it is none. */
uint32_t* WordArgument(Args& args, size_t index, const char* name) {
  const std::span<uint8_t> bytes = args.SharedBytes(index, name);
  if (args.failed()) return nullptr;
  if (bytes.size() != sizeof(uint32_t) || reinterpret_cast<uintptr_t>(bytes.data()) % alignof(uint32_t) != 0) {
    args.FailRange(std::string(name) + " must be one word of 4 bytes, aligned");
    return nullptr;
  }
  // SAFETY: size and alignment checked; the argument keeps the buffer alive during the call.
  return reinterpret_cast<uint32_t*>(bytes.data());
}

}  // namespace

Napi::Value WakeAnswer(const Napi::CallbackInfo& info) {
  Args args(info);
  const sys::WakeWords words = {WordArgument(args, 0, "asked"), WordArgument(args, 1, "answered")};
  const uint32_t seen = args.U32(2, "seen");
  const uint32_t over = args.U32(3, "over");
  if (args.failed()) return {};
  return Number(info.Env(), sys::WakeAnswer(words, seen, over));
}

Napi::Value WakeAsk(const Napi::CallbackInfo& info) {
  Args args(info);
  const sys::WakeWords words = {WordArgument(args, 0, "asked"), WordArgument(args, 1, "answered")};
  const uint32_t last = args.U32(2, "last");
  const uint32_t count = args.U32(3, "count");
  const std::span<double> samples = args.F64Array(4, "samples");
  if (args.failed()) return {};
  return Number(info.Env(), static_cast<double>(sys::WakeAsk(words, last, count, samples)));
}

}  // namespace binding
