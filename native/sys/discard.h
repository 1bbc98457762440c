// Gives pages of a mapping back to the host, contents and all. Any thread; does not wait for anybody.

#ifndef NODE_KVM_SYS_DISCARD_H_
#define NODE_KVM_SYS_DISCARD_H_

#include <cstddef>

#include "sys/result.h"

namespace sys {

/**
 * [data, data + size), page-aligned, reads as zeroes from now on and holds no memory until it is written again. Private
 * anonymous memory: MADV_DONTNEED. `shared` memory of a memfd: MADV_REMOVE, which takes the pages out of the file, for
 * all of its mappings. EINVAL for locked memory and for parts of explicit huge pages.
 */
Result<void> Discard(void* data, size_t size, bool shared);

}  // namespace sys

#endif  // NODE_KVM_SYS_DISCARD_H_
