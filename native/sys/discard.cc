// MADV_DONTNEED and MADV_REMOVE.

#include "sys/discard.h"

#include <sys/mman.h>

namespace sys {

Result<void> Discard(void* data, size_t size, bool shared) {
  if (size == 0) return {};
  int result;
  do {
    result = madvise(data, size, shared ? MADV_REMOVE : MADV_DONTNEED);
  } while (result != 0 && errno == EINTR);  // a kick or a heartbeat: what is gone is gone, and the call goes on
  if (result != 0) return LastError("madvise");
  return {};
}

}  // namespace sys
