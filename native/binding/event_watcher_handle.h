// NativeEventWatcher: eventfds that call back into JavaScript from the thread's event loop, by libuv. On the thread that
// created it, whose loop it keeps alive.

#ifndef NODE_KVM_BINDING_EVENT_WATCHER_HANDLE_H_
#define NODE_KVM_BINDING_EVENT_WATCHER_HANDLE_H_

#include <napi.h>

#include "sys/event_fd.h"

namespace binding {

class EventWatch;

class EventWatcherHandle {
 public:
  static constexpr napi_type_tag kTag = {0x2be94d07c6a1583f, 0xa4d8f0137b6ce259};
  static constexpr const char* kName = "NativeEventWatcher";

  static Napi::ObjectReference Prototype(Napi::Env env);
  /** watchEvents(events, callback). */
  static Napi::Value Create(const Napi::CallbackInfo& info);

  EventWatcherHandle() = default;
  EventWatcherHandle(const EventWatcherHandle&) = delete;
  EventWatcherHandle& operator=(const EventWatcherHandle&) = delete;
  ~EventWatcherHandle() { Stop(); }

  Napi::Value Close(const Napi::CallbackInfo& info);

 private:
  friend class EventWatch;
  void Stop();

  // Null: closed, or the environment has ended. The watch clears it when it stops.
  EventWatch* watch_ = nullptr;
};

}  // namespace binding

#endif  // NODE_KVM_BINDING_EVENT_WATCHER_HANDLE_H_
