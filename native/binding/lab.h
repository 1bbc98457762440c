// The lab's C actors: one repetition on the calling thread. Any thread.

#ifndef NODE_KVM_BINDING_LAB_H_
#define NODE_KVM_BINDING_LAB_H_

#include <napi.h>

namespace binding {

/** labRun(arena, actor). */
Napi::Value LabRun(const Napi::CallbackInfo& info);
/** writeMarked(data, marks, summary, value). */
Napi::Value WriteMarked(const Napi::CallbackInfo& info);

}  // namespace binding

#endif  // NODE_KVM_BINDING_LAB_H_
