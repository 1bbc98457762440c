// Mapping memory and working on it in bulk: the addon's functions on buffers. Any thread.

#ifndef NODE_KVM_BINDING_MEMORY_H_
#define NODE_KVM_BINDING_MEMORY_H_

#include <napi.h>

namespace binding {

Napi::Value MapMemory(const Napi::CallbackInfo& info);
Napi::Value WrapExternal(const Napi::CallbackInfo& info);
Napi::Value CountGarbage(const Napi::CallbackInfo& info);
Napi::Value AddressOf(const Napi::CallbackInfo& info);
Napi::Value Prefault(const Napi::CallbackInfo& info);
Napi::Value Discard(const Napi::CallbackInfo& info);
Napi::Value Fill(const Napi::CallbackInfo& info);
Napi::Value Copy(const Napi::CallbackInfo& info);

}  // namespace binding

#endif  // NODE_KVM_BINDING_MEMORY_H_
