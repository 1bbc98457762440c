// SharedArrayBuffers over memory that is not JavaScript's. The implementation is the only file that includes <v8.h>.

#ifndef NODE_KVM_BINDING_SHARED_BUFFER_H_
#define NODE_KVM_BINDING_SHARED_BUFFER_H_

#include <napi.h>

#include <cstddef>
#include <memory>

#include "sys/mapping.h"

namespace binding {

/**
 * A SharedArrayBuffer over the whole mapping. The buffer and its clones on other threads keep the mapping alive
 * together; the last of them drops it, on its own thread and without an environment. Throws ERR_UNSUPPORTED_RUNTIME
 * where Node offers no way.
 */
Napi::Value NewSharedBuffer(Napi::Env env, std::shared_ptr<sys::Mapping> mapping);

/** The same over memory that somebody else owns. SAFETY: the caller promises that it outlives every buffer over it. */
Napi::Value NewBorrowedBuffer(Napi::Env env, void* data, size_t size);

}  // namespace binding

#endif  // NODE_KVM_BINDING_SHARED_BUFFER_H_
