// The lab's baseline of waking a thread, for JavaScript.

#ifndef NODE_KVM_BINDING_WAKE_H_
#define NODE_KVM_BINDING_WAKE_H_

#include <napi.h>

namespace binding {

/** wakeAnswer(asked, answered, seen, over). */
Napi::Value WakeAnswer(const Napi::CallbackInfo& info);
/** wakeAsk(asked, answered, last, count, samples). */
Napi::Value WakeAsk(const Napi::CallbackInfo& info);
/** serveExits(bell, exits). */
Napi::Value ServeExits(const Napi::CallbackInfo& info);

/** wakeAnswerEvent(waiter, asked, answered, count). */
Napi::Value WakeAnswerEvent(const Napi::CallbackInfo& info);

}  // namespace binding

#endif  // NODE_KVM_BINDING_WAKE_H_
