// The methods of a NativeEventWatcher, and what libuv holds of it.

#include "binding/event_watcher_handle.h"

#include <uv.h>

#include <optional>

#include "binding/args.h"
#include "binding/event_fd_handle.h"
#include "binding/handle.h"
#include "binding/values.h"

namespace binding {

/**
 * The part that libuv has a pointer to, and which therefore outlives its JavaScript handle by a turn of the loop: it
 * deletes itself when libuv has let go. It ends by the handle's close(), its collection, or the end of the environment, whichever is first.
 */
class EventWatch {
 public:
  /** Null, with an exception pending, where it fails; nothing is left then. */
  static EventWatch* Start(Napi::Env env, EventWatcherHandle* owner, sys::EventWaiter waiter, napi_value callback) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
    auto watch = std::unique_ptr<EventWatch>(new EventWatch(env, std::move(waiter)));
    const int failed = uv_poll_init(loop, &watch->poll_, watch->waiter_->fd());
    if (failed != 0) {
      ThrowSyscall(env, {-failed, "uv_poll_init"});
      return nullptr;
    }
    // From here on libuv knows it: only OnClosed() may delete it.
    EventWatch* started = watch.release();
    started->owner_ = owner;
    const int refused = uv_poll_start(&started->poll_, UV_READABLE, OnReadable);
    if (refused != 0) ThrowSyscall(env, {-refused, "uv_poll_start"});
    if (refused != 0 || napi_create_reference(env, callback, 1, &started->callback_) != napi_ok ||
        napi_add_async_cleanup_hook(env, OnEnvironmentEnd, started, &started->hook_) != napi_ok) {
      started->Stop();
      return nullptr;
    }
    owner->watch_ = started;
    return started;
  }

  /** No callback any more, and no descriptor. The rest goes with the loop's next turn. */
  void Stop() {
    if (!waiter_.has_value()) return;
    if (owner_ != nullptr) owner_->watch_ = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), OnClosed);
    // uv_close() has taken the descriptor out of the loop: it may be closed.
    waiter_.reset();
    if (callback_ != nullptr) napi_delete_reference(env_, callback_);
    callback_ = nullptr;
  }

 private:
  EventWatch(napi_env env, sys::EventWaiter waiter) : env_(env), waiter_(std::move(waiter)) { poll_.data = this; }

  static void OnReadable(uv_poll_t* poll, int, int) { static_cast<EventWatch*>(poll->data)->Dispatch(); }

  static void OnClosed(uv_handle_t* poll) {
    auto* watch = static_cast<EventWatch*>(poll->data);
    if (watch->hook_ != nullptr) napi_remove_async_cleanup_hook(watch->hook_);
    delete watch;
  }

  /** Also while a close() is under way: the environment then waits for OnClosed(). */
  static void OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* watch) { static_cast<EventWatch*>(watch)->Stop(); }

  void Dispatch() {
    const Napi::HandleScope scope(env_);
    uint32_t ready[sys::EventWaiter::kReportsMax];
    auto found = waiter_->Wait(0, ready);
    if (!found.ok()) {
      ThrowSyscall(env_, found.error());
      RaiseUncaught();
      return;
    }
    // What is not among the first of them is for the next turn. A callback may stop the watch; only OnClosed() deletes it.
    for (size_t i = 0; i < found.value() && waiter_.has_value(); ++i) {
      if (!Call(ready[i])) return;
    }
  }

  /** False: the thread is being ended. */
  bool Call(uint32_t index) {
    napi_value callback = nullptr;
    napi_value receiver = nullptr;
    napi_value argument = nullptr;
    if (napi_get_reference_value(env_, callback_, &callback) != napi_ok) return false;
    if (napi_get_global(env_, &receiver) != napi_ok) return false;
    if (napi_create_uint32(env_, index, &argument) != napi_ok) return false;
    const napi_status called = napi_make_callback(env_, nullptr, receiver, callback, 1, &argument, nullptr);
    return called == napi_ok || (called == napi_pending_exception && RaiseUncaught());
  }

  /** Nobody is above us to catch it: 'uncaughtException', as from any other event. */
  bool RaiseUncaught() {
    napi_value error = nullptr;
    if (napi_get_and_clear_last_exception(env_, &error) != napi_ok) return false;
    return napi_fatal_exception(env_, error) == napi_ok;
  }

  napi_env env_;
  uv_poll_t poll_;
  std::optional<sys::EventWaiter> waiter_;  // none: stopped
  napi_ref callback_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  EventWatcherHandle* owner_ = nullptr;
};

namespace {
/** Far more than a machine's devices have. */
constexpr uint32_t kEventsMax = 4096;
}  // namespace

Napi::ObjectReference EventWatcherHandle::Prototype(Napi::Env env) {
  return NewPrototype(env, {Method<&EventWatcherHandle::Close>("close")});
}

Napi::Value EventWatcherHandle::Create(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::vector<napi_value> handles = args.Elements(0, "events", kEventsMax, "an array of NativeEventFds");
  std::vector<std::shared_ptr<sys::EventFd>> events;
  for (const napi_value handle : handles) events.push_back(EventFdHandle::Of(args, handle, "every element of events"));
  if (!args.failed() && !args.At(1).IsFunction()) args.FailType("callback", "a function");
  if (args.failed()) return {};
  auto waiter = sys::EventWaiter::Create(std::move(events));
  if (!waiter.ok()) return ThrowSyscall(info.Env(), waiter.error());
  auto owned = std::make_unique<EventWatcherHandle>();
  EventWatcherHandle* handle = owned.get();
  const Napi::Value result =
      NewHandle(info.Env(), AddonData::Of(info.Env()).event_watcher_prototype, std::move(owned));
  if (result.IsEmpty()) return {};
  if (EventWatch::Start(info.Env(), handle, std::move(waiter.value()), args.At(1)) == nullptr) return {};
  return result;
}

void EventWatcherHandle::Stop() {
  if (watch_ != nullptr) watch_->Stop();
}

Napi::Value EventWatcherHandle::Close(const Napi::CallbackInfo& info) {
  Stop();
  return info.Env().Undefined();
}

}  // namespace binding
