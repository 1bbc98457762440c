// The methods of a NativeEventFd.

#include "binding/event_fd_handle.h"

#include "binding/handle.h"
#include "binding/values.h"

namespace binding {

Napi::ObjectReference EventFdHandle::Prototype(Napi::Env env) {
  return NewPrototype(env, {
                               Getter<&EventFdHandle::Id>("id"),
                               Method<&EventFdHandle::Signal>("signal"),
                               Method<&EventFdHandle::Take>("take"),
                               Method<&EventFdHandle::Close>("close"),
                           });
}

Napi::Value EventFdHandle::Create(const Napi::CallbackInfo& info) {
  auto created = sys::EventFd::Create();
  if (!created.ok()) return ThrowSyscall(info.Env(), created.error());
  auto event = std::make_shared<sys::EventFd>(std::move(created.value()));
  const uint64_t id = sys::PublishEventFd(event);
  return NewHandle(info.Env(), AddonData::Of(info.Env()).event_fd_prototype,
                   std::make_unique<EventFdHandle>(std::move(event), id));
}

Napi::Value EventFdHandle::Attach(const Napi::CallbackInfo& info) {
  Args args(info);
  const uint64_t id = args.Integer(0, "id");
  if (args.failed()) return {};
  auto event = sys::FindEventFd(id);
  if (event == nullptr) return ThrowDisposed(info.Env(), "eventfd");
  return NewHandle(info.Env(), AddonData::Of(info.Env()).event_fd_prototype,
                   std::make_unique<EventFdHandle>(std::move(event), id));
}

std::shared_ptr<sys::EventFd> EventFdHandle::Of(Args& args, napi_value value, const char* name) {
  if (args.failed()) return nullptr;
  const EventFdHandle* handle = Unwrap<EventFdHandle>(args.env(), value);
  if (handle == nullptr) {
    args.FailType(name, "a NativeEventFd");
    return nullptr;
  }
  if (handle->event_ == nullptr) args.FailDisposed(name);
  return handle->event_;
}

std::shared_ptr<sys::EventFd> EventFdHandle::Argument(Args& args, size_t index, const char* name) {
  return Of(args, args.At(index), name);
}

Napi::Value EventFdHandle::Id(const Napi::CallbackInfo& info) { return Number(info.Env(), static_cast<double>(id_)); }

Napi::Value EventFdHandle::Signal(const Napi::CallbackInfo& info) {
  if (event_ == nullptr) return ThrowDisposed(info.Env(), "eventfd");
  return UndefinedOrThrow(info.Env(), event_->Signal());
}

Napi::Value EventFdHandle::Take(const Napi::CallbackInfo& info) {
  if (event_ == nullptr) return ThrowDisposed(info.Env(), "eventfd");
  auto taken = event_->Take();
  if (!taken.ok()) return ThrowSyscall(info.Env(), taken.error());
  return Number(info.Env(), static_cast<double>(taken.value()));
}

Napi::Value EventFdHandle::Close(const Napi::CallbackInfo& info) {
  event_.reset();
  return info.Env().Undefined();
}

}  // namespace binding
