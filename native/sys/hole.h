// Holes in files: fallocate(2). Any thread.

#ifndef NODE_KVM_SYS_HOLE_H_
#define NODE_KVM_SYS_HOLE_H_

#include <cstdint>

#include "sys/result.h"

namespace sys {

/**
 * The file's bytes [position, position + length) become zeroes that take no room; its size stays. False: its file system
 * has no holes, and nothing has changed. Blocks.
 */
Result<bool> PunchHole(int fd, uint64_t position, uint64_t length);

}  // namespace sys

#endif  // NODE_KVM_SYS_HOLE_H_
