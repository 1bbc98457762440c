// What concerns the calling thread: its id, kicks, heartbeat, CPUs, the clock; and fault injection for tests.

#ifndef NODE_KVM_BINDING_THREAD_H_
#define NODE_KVM_BINDING_THREAD_H_

#include <napi.h>

namespace binding {

Napi::Value ThreadId(const Napi::CallbackInfo& info);
Napi::Value Kick(const Napi::CallbackInfo& info);
Napi::Value Heartbeat(const Napi::CallbackInfo& info);
Napi::Value SetAffinity(const Napi::CallbackInfo& info);
Napi::Value GetAffinity(const Napi::CallbackInfo& info);
Napi::Value MonotonicNs(const Napi::CallbackInfo& info);
Napi::Value InjectFault(const Napi::CallbackInfo& info);

}  // namespace binding

#endif  // NODE_KVM_BINDING_THREAD_H_
