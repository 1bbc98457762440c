// Results of the native layers as JavaScript values. An empty value means that an exception is pending (or the thread
// terminates).

#ifndef NODE_KVM_BINDING_VALUES_H_
#define NODE_KVM_BINDING_VALUES_H_

#include <napi.h>

#include <cstring>
#include <vector>

#include "binding/errors.h"
#include "sys/result.h"

namespace binding {

inline Napi::Value Number(Napi::Env env, double number) {
  napi_value value = nullptr;
  napi_create_double(env, number, &value);
  return {env, value};
}

inline Napi::Value BigUint(Napi::Env env, uint64_t number) {
  napi_value value = nullptr;
  napi_create_bigint_uint64(env, number, &value);
  return {env, value};
}

inline Napi::Value NumberOrThrow(Napi::Env env, sys::Result<int> result) {
  if (!result.ok()) return ThrowSyscall(env, result.error());
  return Number(env, result.value());
}

inline Napi::Value UndefinedOrThrow(Napi::Env env, const sys::Result<void>& result) {
  if (!result.ok()) return ThrowSyscall(env, result.error());
  return env.Undefined();
}

/** A new typed array with a copy of `elements`; `type` is the one for T. */
template <typename T>
Napi::Value NewTypedArray(Napi::Env env, napi_typedarray_type type, const std::vector<T>& elements) {
  void* data = nullptr;
  napi_value buffer = nullptr;
  napi_value array = nullptr;
  if (napi_create_arraybuffer(env, elements.size() * sizeof(T), &data, &buffer) != napi_ok) return {};
  if (!elements.empty()) memcpy(data, elements.data(), elements.size() * sizeof(T));
  if (napi_create_typedarray(env, type, elements.size(), buffer, 0, &array) != napi_ok) return {};
  return {env, array};
}

}  // namespace binding

#endif  // NODE_KVM_BINDING_VALUES_H_
