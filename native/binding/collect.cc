// Runs the calling thread's garbage collector. V8's function is found at run time, as in shared_buffer.cc, and for the same reason.

#include "binding/collect.h"

#include <dlfcn.h>

namespace binding {

Napi::Value CollectGarbage(const Napi::CallbackInfo& info) {
  using CurrentIsolate = void* (*)();
  using LowMemoryNotification = void (*)(void* isolate);
  // SAFETY: v8::Isolate::GetCurrent() and v8::Isolate::LowMemoryNotification(), a member function without parameters:
  // by the Itanium ABI a function of `this`. On a thread that runs JavaScript there is a current isolate.
  static const auto current = reinterpret_cast<CurrentIsolate>(dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv"));
  static const auto notify =
      reinterpret_cast<LowMemoryNotification>(dlsym(RTLD_DEFAULT, "_ZN2v87Isolate21LowMemoryNotificationEv"));
  if (current == nullptr || notify == nullptr) return Napi::Boolean::New(info.Env(), false);
  notify(current());
  return Napi::Boolean::New(info.Env(), true);
}

}  // namespace binding
