// The garbage collector on demand, for threads that hold guest RAM as garbage and would never collect by themselves.

#ifndef NODE_KVM_BINDING_COLLECT_H_
#define NODE_KVM_BINDING_COLLECT_H_

#include <napi.h>

namespace binding {

/** Collects everything unreachable on the calling thread; blocks. False where this V8 has no such function. */
Napi::Value CollectGarbage(const Napi::CallbackInfo& info);

}  // namespace binding

#endif  // NODE_KVM_BINDING_COLLECT_H_
