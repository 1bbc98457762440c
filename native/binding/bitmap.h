// Marks and bitmaps of dirty pages: the addon's functions on them. Any thread.

#ifndef NODE_KVM_BINDING_BITMAP_H_
#define NODE_KVM_BINDING_BITMAP_H_

#include <napi.h>

namespace binding {

Napi::Value TakeMarks(const Napi::CallbackInfo& info);
Napi::Value CountBits(const Napi::CallbackInfo& info);
Napi::Value BitRanges(const Napi::CallbackInfo& info);
Napi::Value DistributeBits(const Napi::CallbackInfo& info);

}  // namespace binding

#endif  // NODE_KVM_BINDING_BITMAP_H_
