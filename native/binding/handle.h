// Native objects behind JavaScript handles, without classes: a handle is an object whose prototype carries the methods,
// wrapped and type-tagged. A method called on anything else (a forged `this`, a handle of another kind) throws a
// TypeError.

#ifndef NODE_KVM_BINDING_HANDLE_H_
#define NODE_KVM_BINDING_HANDLE_H_

#include <napi.h>

#include <initializer_list>
#include <memory>

#include "binding/addon_data.h"
#include "binding/errors.h"

namespace binding {

/** The T behind a handle, or null. `T::kTag` is unique to T. */
template <typename T>
T* Unwrap(napi_env env, napi_value handle) {
  napi_valuetype type = napi_undefined;
  bool tagged = false;
  void* native = nullptr;
  if (napi_typeof(env, handle, &type) != napi_ok || type != napi_object) return nullptr;
  if (napi_check_object_type_tag(env, handle, &T::kTag, &tagged) != napi_ok || !tagged) return nullptr;
  if (napi_unwrap(env, handle, &native) != napi_ok) return nullptr;
  // SAFETY: only NewHandle<T> tags objects with T::kTag, and it wraps a T first.
  return static_cast<T*>(native);
}

template <auto kMethod>
struct MethodTraits;
template <typename T, Napi::Value (T::*kMethod)(const Napi::CallbackInfo&)>
struct MethodTraits<kMethod> {
  static napi_value Invoke(napi_env env, napi_callback_info raw) {
    const Napi::CallbackInfo info(env, raw);
    T* self = Unwrap<T>(env, info.This());
    if (self == nullptr) return ThrowType(info.Env(), std::string("this must be a ") + T::kName);
    return (self->*kMethod)(info);
  }
};

template <auto kMethod>
napi_property_descriptor Method(const char* name) {
  return {name, nullptr, MethodTraits<kMethod>::Invoke, nullptr, nullptr, nullptr, napi_default_method, nullptr};
}

template <auto kMethod>
napi_property_descriptor Getter(const char* name) {
  return {name, nullptr, nullptr, MethodTraits<kMethod>::Invoke, nullptr, nullptr, napi_default, nullptr};
}

/** The object that carries a kind's methods; once per environment. */
inline Napi::ObjectReference NewPrototype(Napi::Env env, std::initializer_list<napi_property_descriptor> methods) {
  Napi::Object prototype = Napi::Object::New(env);
  napi_define_properties(env, prototype, methods.size(), methods.begin());
  return Napi::Persistent(prototype);
}

/** A new handle that owns `native`; the collector or the end of the environment deletes it. Empty with an exception
 * pending when it fails. */
template <typename T>
Napi::Value NewHandle(Napi::Env env, const Napi::ObjectReference& prototype, std::unique_ptr<T> native) {
  const napi_value argument = prototype.Value();
  napi_value receiver = nullptr;
  napi_value handle = nullptr;
  napi_get_undefined(env, &receiver);
  const napi_value create = AddonData::Of(env).object_create.Value();
  if (napi_call_function(env, receiver, create, 1, &argument, &handle) != napi_ok) return {};
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<T*>(data); };
  if (napi_wrap(env, handle, native.get(), finalize, nullptr, nullptr) != napi_ok) return {};
  native.release();
  if (napi_type_tag_object(env, handle, &T::kTag) != napi_ok) return {};
  return {env, handle};
}

}  // namespace binding

#endif  // NODE_KVM_BINDING_HANDLE_H_
