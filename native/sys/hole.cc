// fallocate(2).

#include "sys/hole.h"

#include <fcntl.h>

namespace sys {

Result<bool> PunchHole(int fd, uint64_t position, uint64_t length) {
  int failed;
  do {
    failed = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(position),
                       static_cast<off_t>(length));
  } while (failed != 0 && errno == EINTR);
  if (failed == 0) return true;
  if (errno == EOPNOTSUPP || errno == ENOSYS) return false;
  return LastError("fallocate");
}

}  // namespace sys
