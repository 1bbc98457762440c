// The methods of a NativePageTracker.

#include "binding/page_tracker_handle.h"

#include "binding/args.h"
#include "binding/handle.h"
#include "binding/values.h"
#include "sys/bitmap.h"
#include "sys/mapping.h"

namespace binding {
namespace {

struct Range {
  uint64_t address;
  uint64_t size;
};

/** The arguments (hostAddr, size): whole pages below the end of user space's addresses. */
Range RangeArgument(Args& args) {
  const uint64_t address = args.BigInt(0, "hostAddr");
  const uint64_t size = args.Integer(1, "size");
  if (!args.failed() && (address % sys::PageSize() != 0 || size % sys::PageSize() != 0 || size == 0)) {
    args.FailRange("a tracked range must be whole pages, got " + Hex(size) + " bytes at " + Hex(address));
  }
  if (!args.failed() && !InBounds(address, size, kMaxSafeInteger))
    args.FailRange("a tracked range must end below 2^53, got " + Hex(size) + " bytes at " + Hex(address));
  return {address, size};
}

Napi::Value ThrowAt(Napi::Env env, const sys::SysError& error, Range range) {
  return ThrowSyscall(env, error, Hex(range.size) + " bytes at host " + Hex(range.address));
}

}  // namespace

Napi::ObjectReference PageTrackerHandle::Prototype(Napi::Env env) {
  return NewPrototype(env, {
                               Method<&PageTrackerHandle::Register>("register"),
                               Method<&PageTrackerHandle::Unregister>("unregister"),
                               Method<&PageTrackerHandle::Scan>("scan"),
                               Method<&PageTrackerHandle::Close>("close"),
                           });
}

Napi::Value PageTrackerHandle::Open(const Napi::CallbackInfo& info) {
  auto tracker = sys::PageTracker::Open();
  if (!tracker.ok()) return ThrowSyscall(info.Env(), tracker.error());
  return NewHandle(info.Env(), AddonData::Of(info.Env()).page_tracker_prototype,
                   std::make_unique<PageTrackerHandle>(std::move(tracker.value())));
}

Napi::Value PageTrackerHandle::Register(const Napi::CallbackInfo& info) {
  Args args(info);
  const Range range = RangeArgument(args);
  if (args.failed()) return {};
  if (!tracker_.open()) return ThrowDisposed(info.Env(), "page tracker");
  auto done = tracker_.Register(range.address, range.size);
  if (!done.ok()) return ThrowAt(info.Env(), done.error(), range);
  return info.Env().Undefined();
}

Napi::Value PageTrackerHandle::Unregister(const Napi::CallbackInfo& info) {
  Args args(info);
  const Range range = RangeArgument(args);
  if (args.failed()) return {};
  if (!tracker_.open()) return ThrowDisposed(info.Env(), "page tracker");
  auto done = tracker_.Unregister(range.address, range.size);
  if (!done.ok()) return ThrowAt(info.Env(), done.error(), range);
  return info.Env().Undefined();
}

Napi::Value PageTrackerHandle::Scan(const Napi::CallbackInfo& info) {
  Args args(info);
  const Range range = RangeArgument(args);
  const uint64_t pages = range.size / sys::kPageBytes;
  const std::span<uint8_t> into = args.Bytes(2, "into");
  uint16_t* writers = args.U16ArrayOrNull(3, "writers", pages);
  const auto writer = static_cast<uint16_t>(args.U32(4, "writer", UINT16_MAX));
  args.NeedSize("into", sys::BitmapBytes(pages), into.size());
  if (args.failed()) return {};
  if (!tracker_.open()) return ThrowDisposed(info.Env(), "page tracker");
  auto found = tracker_.Scan(range.address, range.size, {into, writers, writer});
  if (!found.ok()) return ThrowAt(info.Env(), found.error(), range);
  return Number(info.Env(), static_cast<double>(found.value()));
}

Napi::Value PageTrackerHandle::Close(const Napi::CallbackInfo& info) {
  tracker_.Close();
  return info.Env().Undefined();
}

}  // namespace binding
