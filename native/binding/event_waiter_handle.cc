// The methods of a NativeEventWaiter.

#include "binding/event_waiter_handle.h"

#include "binding/args.h"
#include "binding/event_fd_handle.h"
#include "binding/handle.h"
#include "binding/values.h"

namespace binding {
namespace {

/** Far more than a machine's devices have. */
constexpr uint32_t kEventsMax = 4096;
/** A thread in a wait cannot be ended by worker.terminate() or process.exit(): so long at most. */
constexpr uint32_t kTimeoutMsMax = 1000;

/** (handle, timeoutMs, ready): wait() without its JavaScript frame. */
napi_value Wait(napi_env env, napi_callback_info raw) {
  const Napi::CallbackInfo info(env, raw);
  auto* handle = Unwrap<EventWaiterHandle>(env, info[0]);
  if (handle == nullptr) return ThrowType(info.Env(), std::string("this must be a ") + EventWaiterHandle::kName);
  Args args(info);
  const auto timeout = static_cast<int>(args.U32(1, "timeoutMs", kTimeoutMsMax));
  const std::span<uint32_t> ready = args.U32Array(2, "ready");
  args.NeedSize("ready", 1, ready.size());
  if (args.failed()) return nullptr;
  if (handle->waiter() == nullptr) return ThrowDisposed(info.Env(), "eventfd waiter");
  auto found = handle->waiter()->Wait(timeout, ready);
  if (!found.ok()) return ThrowSyscall(info.Env(), found.error());
  return Number(info.Env(), static_cast<double>(found.value()));
}

/**
 * wait(timeoutMs, ready) as a JavaScript function around the native one. V8 acts on worker.terminate() and
 * process.exit() where a JavaScript function is entered, and not where native code is.
 */
napi_value NewWaitFunction(napi_env env) {
  napi_value source = nullptr;
  napi_value wrap = nullptr;
  napi_value native = nullptr;
  napi_value receiver = nullptr;
  napi_value wait = nullptr;
  napi_get_undefined(env, &receiver);
  const char* text = "(native) => function wait(timeoutMs, ready) { return native(this, timeoutMs, ready); }";
  if (napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &source) != napi_ok) return nullptr;
  if (napi_run_script(env, source, &wrap) != napi_ok) return nullptr;
  if (napi_create_function(env, "wait", NAPI_AUTO_LENGTH, Wait, nullptr, &native) != napi_ok) return nullptr;
  if (napi_call_function(env, receiver, wrap, 1, &native, &wait) != napi_ok) return nullptr;
  return wait;
}

}  // namespace

Napi::ObjectReference EventWaiterHandle::Prototype(Napi::Env env) {
  Napi::ObjectReference prototype = NewPrototype(env, {Method<&EventWaiterHandle::Close>("close")});
  const napi_property_descriptor wait = {"wait",          nullptr, nullptr, nullptr, nullptr, NewWaitFunction(env),
                                         napi_enumerable, nullptr};
  napi_define_properties(env, prototype.Value(), 1, &wait);
  return prototype;
}

Napi::Value EventWaiterHandle::Create(const Napi::CallbackInfo& info) {
  Args args(info);
  const std::vector<napi_value> handles = args.Elements(0, "events", kEventsMax, "an array of NativeEventFds");
  std::vector<std::shared_ptr<sys::EventFd>> events;
  for (const napi_value handle : handles) events.push_back(EventFdHandle::Of(args, handle, "every element of events"));
  if (args.failed()) return {};
  auto waiter = sys::EventWaiter::Create(std::move(events));
  if (!waiter.ok()) return ThrowSyscall(info.Env(), waiter.error());
  return NewHandle(info.Env(), AddonData::Of(info.Env()).event_waiter_prototype,
                   std::make_unique<EventWaiterHandle>(std::move(waiter.value())));
}

Napi::Value EventWaiterHandle::Close(const Napi::CallbackInfo& info) {
  waiter_.reset();
  return info.Env().Undefined();
}

}  // namespace binding
