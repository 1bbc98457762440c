// takeMarks, countBits, bitRanges, distributeBits: bounds are checked here, work is done in sys/bitmap.

#include "binding/bitmap.h"

#include <vector>

#include "binding/args.h"
#include "binding/errors.h"
#include "binding/values.h"
#include "sys/bitmap.h"

namespace binding {
namespace {

/** Cursors that one set of bits may be handed to at once. */
constexpr size_t kTargetsMax = 4096;

/** [first, first + count) must be bits of `bits`. */
void NeedBits(Args& args, std::span<uint8_t> bits, uint64_t first, uint64_t count) {
  args.NeedSize("bits", sys::BitmapBytes(first + count), bits.size());
}

}  // namespace

Napi::Value TakeMarks(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> marks = args.Bytes(0, "marks");
  const std::span<uint8_t> summary = args.Bytes(1, "summary");
  const uint64_t pages = args.Integer(2, "pages");
  const std::span<uint8_t> into = args.Bytes(3, "into");
  uint16_t* writers = args.U16ArrayOrNull(4, "writers", pages);
  args.NeedSize("marks", pages, marks.size());
  args.NeedSize("summary", (pages + sys::kPagesPerSummary - 1) / sys::kPagesPerSummary, summary.size());
  args.NeedSize("into", sys::BitmapBytes(pages), into.size());
  if (args.failed()) return {};
  return Number(info.Env(),
                static_cast<double>(sys::TakeMarks(marks.data(), summary.data(), pages, into.data(), writers)));
}

Napi::Value CountBits(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> bits = args.Bytes(0, "bits");
  const uint64_t first = args.Integer(1, "first");
  const uint64_t count = args.Integer(2, "count");
  NeedBits(args, bits, first, count);
  if (args.failed()) return {};
  return Number(info.Env(), static_cast<double>(sys::CountBits(bits.data(), first, count)));
}

Napi::Value BitRanges(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::span<uint8_t> bits = args.Bytes(0, "bits");
  const uint64_t first = args.Integer(1, "first");
  const uint64_t pages = args.Integer(2, "pages");
  const uint64_t guest_addr = args.Integer(3, "guestAddr");
  const std::span<double> into = args.F64Array(4, "into");
  const uint64_t at = args.Integer(5, "at", into.size());
  NeedBits(args, bits, first, pages);
  if (!args.failed() && at % 2 != 0) args.FailRange("at must be even, got " + std::to_string(at));
  if (args.failed()) return {};
  const sys::RangesEnd end = sys::BitRanges(bits.data(), first, pages, guest_addr, into, at);
  const auto elements = static_cast<double>(end.elements);
  return Number(info.Env(), end.fits ? elements : -elements);
}

Napi::Value DistributeBits(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::vector<std::span<uint8_t>> to = args.BytesList(1, "to", kTargetsMax);
  const std::span<uint8_t> from = args.Bytes(0, "from");
  if (!args.failed() && from.size() % 8 != 0)
    args.FailRange("from must have a multiple of 8 bytes, got " + std::to_string(from.size()));
  std::vector<uint8_t*> targets;
  for (const std::span<uint8_t>& each : to) {
    if (!args.failed() && each.size() != from.size()) {
      args.FailRange("every element of to must have from's " + std::to_string(from.size()) + " bytes, got " +
                     std::to_string(each.size()));
    }
    targets.push_back(each.data());
  }
  if (args.failed()) return {};
  sys::DistributeBits(from.data(), targets, from.size());
  return info.Env().Undefined();
}

}  // namespace binding
