// Populates memory ahead of its first use, on several threads. Blocks the caller, which works too.

#ifndef NODE_KVM_SYS_PREFAULT_H_
#define NODE_KVM_SYS_PREFAULT_H_

#include <cstddef>

#include "sys/result.h"

namespace sys {

/**
 * MADV_POPULATE_WRITE over [data, data + size), page-aligned, on up to `threads` threads (1 = the caller alone).
 * Content is kept. Fewer threads than asked for is no error. EINVAL on kernels before 5.14; EFAULT on memory that
 * cannot be written; ENOMEM when memory ends (part of the range is then populated).
 */
Result<void> Prefault(void* data, size_t size, unsigned threads);

/**
 * How many bytes of [data, data + size), page-aligned, are in memory now; counting ends at `most`. Blocks for some
 * milliseconds per 64 GiB (mincore(2)). 0 where the kernel refuses the range.
 */
size_t ResidentBytes(const void* data, size_t size, size_t most);

}  // namespace sys

#endif  // NODE_KVM_SYS_PREFAULT_H_
