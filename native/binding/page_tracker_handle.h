// NativePageTracker: the kernel's write tracking for JavaScript. On the thread that opened it.

#ifndef NODE_KVM_BINDING_PAGE_TRACKER_HANDLE_H_
#define NODE_KVM_BINDING_PAGE_TRACKER_HANDLE_H_

#include <napi.h>

#include "sys/page_tracker.h"

namespace binding {

class PageTrackerHandle {
 public:
  static constexpr napi_type_tag kTag = {0x51f0c6b2d93e4a07, 0xb81e7a54c02d49f6};
  static constexpr const char* kName = "NativePageTracker";

  static Napi::ObjectReference Prototype(Napi::Env env);
  /** openPageTracker(). */
  static Napi::Value Open(const Napi::CallbackInfo& info);

  explicit PageTrackerHandle(sys::PageTracker tracker) : tracker_(std::move(tracker)) {}

  Napi::Value Register(const Napi::CallbackInfo& info);
  Napi::Value Unregister(const Napi::CallbackInfo& info);
  Napi::Value Scan(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

 private:
  sys::PageTracker tracker_;
};

}  // namespace binding

#endif  // NODE_KVM_BINDING_PAGE_TRACKER_HANDLE_H_
