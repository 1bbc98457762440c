// NativeEventWaiter: a wait for any of several eventfds, for JavaScript. On the thread that created it.

#ifndef NODE_KVM_BINDING_EVENT_WAITER_HANDLE_H_
#define NODE_KVM_BINDING_EVENT_WAITER_HANDLE_H_

#include <napi.h>

#include <optional>

#include "sys/event_fd.h"

namespace binding {

class EventWaiterHandle {
 public:
  static constexpr napi_type_tag kTag = {0xd17c5e80a9324bf6, 0x93b06fe21c7d4815};
  static constexpr const char* kName = "NativeEventWaiter";

  static Napi::ObjectReference Prototype(Napi::Env env);
  /** createEventWaiter(events). */
  static Napi::Value Create(const Napi::CallbackInfo& info);

  explicit EventWaiterHandle(sys::EventWaiter waiter) : waiter_(std::move(waiter)) {}

  Napi::Value Close(const Napi::CallbackInfo& info);
  /** Null: closed. */
  sys::EventWaiter* waiter() { return waiter_.has_value() ? &*waiter_ : nullptr; }

 private:
  std::optional<sys::EventWaiter> waiter_;
};

}  // namespace binding

#endif  // NODE_KVM_BINDING_EVENT_WAITER_HANDLE_H_
