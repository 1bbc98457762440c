// SharedArrayBuffers over external memory. The only file that includes <v8.h>.

#include "binding/shared_buffer.h"

#include <dlfcn.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <v8.h>
#pragma GCC diagnostic pop

#include <cstring>

#include "binding/errors.h"

// Two ways, both looked up at run time so that one binary serves every Node:
//   1. node_api_create_external_sharedarraybuffer: Node 22.23, 24.16, 26.1 and later.
//   2. Before that, V8's own C++ functions under their mangled names. They are stable over the V8s of Node 20 to 24,
//   and a
//      missing one is an error here rather than a failure to load.

namespace binding {
namespace {

using Deleter = void (*)(void* data, void* hint);
using NodeApiCreate = napi_status (*)(napi_env, void*, size_t, Deleter, void*, napi_value*);

/** V8 keeps the store by a shared_ptr whose deleter is ours: it must not name ~BackingStore(), or the addon would need
 * that symbol to load. */
using DestroyStore = void (*)(v8::BackingStore*);
struct LeaveAlone {
  void operator()(v8::BackingStore*) const {}
};
/** Same size, same calling convention (passed and returned through memory, not trivially destructible) as with the
 * default deleter. */
using StorePointer = std::unique_ptr<v8::BackingStore, LeaveAlone>;

struct V8Functions {
  v8::Isolate* (*current_isolate)();
  StorePointer (*new_store)(void*, size_t, v8::BackingStore::DeleterCallback, void*);
  v8::Local<v8::SharedArrayBuffer> (*new_buffer)(v8::Isolate*, std::shared_ptr<v8::BackingStore>);
  DestroyStore destroy_store;

  bool complete() const {
    return current_isolate != nullptr && new_store != nullptr && new_buffer != nullptr && destroy_store != nullptr;
  }
};

template <typename Function>
void Find(const char* symbol, Function& function) {
  // SAFETY: the mangled name spells the parameter types, and the declarations above are v8.h's.
  function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, symbol));
}

V8Functions FindV8() {
  V8Functions v8_functions;
  Find("_ZN2v87Isolate10GetCurrentEv", v8_functions.current_isolate);
  Find("_ZN2v817SharedArrayBuffer15NewBackingStoreEPvmPFvS1_mS1_ES1_", v8_functions.new_store);
  Find("_ZN2v817SharedArrayBuffer3NewEPNS_7IsolateESt10shared_ptrINS_12BackingStoreEE", v8_functions.new_buffer);
  Find("_ZN2v812BackingStoreD1Ev", v8_functions.destroy_store);
  return v8_functions;
}

/** What V8 hands back to the deleter: a pair instead of one pointer, because V8's deleter has another signature than
 * Node-API's. */
struct Release {
  Deleter deleter;
  void* hint;
};

napi_status CreateThroughV8(void* data, size_t size, Deleter deleter, void* hint, napi_value* result) {
  static const V8Functions functions = FindV8();
  if (!functions.complete()) return napi_generic_failure;
  const auto release = [](void* address, size_t, void* raw) {
    const std::unique_ptr<Release> pair(static_cast<Release*>(raw));
    pair->deleter(address, pair->hint);
  };
  StorePointer store = functions.new_store(data, size, release, new Release{deleter, hint});
  const DestroyStore destroy = functions.destroy_store;
  const auto delete_store = [destroy](v8::BackingStore* raw) {
    destroy(raw);
    ::operator delete(static_cast<void*>(raw));  // as v8::BackingStore::operator delete does
  };
  const std::shared_ptr<v8::BackingStore> shared(store.release(), delete_store);
  const v8::Local<v8::SharedArrayBuffer> buffer = functions.new_buffer(functions.current_isolate(), shared);
  // SAFETY: a napi_value is a Local's slot; Node-API's own conversion is this copy. The handle scope is the native
  // call's.
  static_assert(sizeof(buffer) == sizeof(*result));
  memcpy(static_cast<void*>(result), static_cast<const void*>(&buffer), sizeof(*result));
  return napi_ok;
}

/** `deleter` runs exactly once if, and only if, this succeeds. */
napi_status Create(napi_env env, void* data, size_t size, Deleter deleter, void* hint, napi_value* result) {
  static const auto node_api =
      reinterpret_cast<NodeApiCreate>(dlsym(RTLD_DEFAULT, "node_api_create_external_sharedarraybuffer"));
  if (node_api != nullptr) return node_api(env, data, size, deleter, hint, result);
  return CreateThroughV8(data, size, deleter, hint, result);
}

Napi::Value ThrowUnsupported(Napi::Env env) {
  return ThrowCoded(
      env, "ERR_UNSUPPORTED_RUNTIME",
      "this Node offers no SharedArrayBuffer over external memory: use an official build of Node 20.19 or later");
}

}  // namespace

Napi::Value NewSharedBuffer(Napi::Env env, std::shared_ptr<sys::Mapping> mapping) {
  void* data = mapping->data();
  const size_t size = mapping->size();
  auto holder = std::make_unique<std::shared_ptr<sys::Mapping>>(std::move(mapping));
  const auto drop = [](void*, void* hint) { delete static_cast<std::shared_ptr<sys::Mapping>*>(hint); };
  napi_value buffer = nullptr;
  if (Create(env, data, size, drop, holder.get(), &buffer) != napi_ok) return ThrowUnsupported(env);
  // SAFETY: from here on the buffer's backing store owns the holder, and `drop` deletes it.
  static_cast<void>(holder.release());
  return {env, buffer};
}

Napi::Value NewBorrowedBuffer(Napi::Env env, void* data, size_t size) {
  napi_value buffer = nullptr;
  if (Create(
          env, data, size, [](void*, void*) {}, nullptr, &buffer) != napi_ok)
    return ThrowUnsupported(env);
  return {env, buffer};
}

}  // namespace binding
