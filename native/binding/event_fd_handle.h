// NativeEventFd: a thread's handle of an eventfd, for JavaScript. The descriptor is closed with the last handle of all
// threads, so no thread's close can hand another one the number of some other file.

#ifndef NODE_KVM_BINDING_EVENT_FD_HANDLE_H_
#define NODE_KVM_BINDING_EVENT_FD_HANDLE_H_

#include <napi.h>

#include <memory>

#include "binding/args.h"
#include "sys/event_fd.h"

namespace binding {

class EventFdHandle {
 public:
  static constexpr napi_type_tag kTag = {0x6a84f1d35b0e4c92, 0x8c27d9e3f4514ab0};
  static constexpr const char* kName = "NativeEventFd";

  static Napi::ObjectReference Prototype(Napi::Env env);
  /** createEventFd(). */
  static Napi::Value Create(const Napi::CallbackInfo& info);
  /** attachEventFd(id). */
  static Napi::Value Attach(const Napi::CallbackInfo& info);
  /** The event of an open handle; null, and the arguments have failed, where it is none. */
  static std::shared_ptr<sys::EventFd> Argument(Args& args, size_t index, const char* name);
  /** The same for any value. */
  static std::shared_ptr<sys::EventFd> Of(Args& args, napi_value value, const char* name);

  EventFdHandle(std::shared_ptr<sys::EventFd> event, uint64_t id) : event_(std::move(event)), id_(id) {}

  Napi::Value Id(const Napi::CallbackInfo& info);
  Napi::Value Signal(const Napi::CallbackInfo& info);
  Napi::Value Take(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

 private:
  std::shared_ptr<sys::EventFd> event_;  // null: closed
  uint64_t id_;
};

}  // namespace binding

#endif  // NODE_KVM_BINDING_EVENT_FD_HANDLE_H_
