// Holes in files, for JavaScript: on a thread of libuv's.

#ifndef NODE_KVM_BINDING_HOLE_H_
#define NODE_KVM_BINDING_HOLE_H_

#include <napi.h>

namespace binding {

/** punchHole(fd, position, length): a promise. */
Napi::Value PunchHole(const Napi::CallbackInfo& info);

}  // namespace binding

#endif  // NODE_KVM_BINDING_HOLE_H_
