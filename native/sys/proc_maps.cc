// Walks /proc/self/maps.

#include "sys/proc_maps.h"

#include <cinttypes>
#include <cstdio>
#include <memory>

namespace sys {

Result<bool> IsMapped(uint64_t address, uint64_t size, bool writable) {
  uint64_t end;
  if (size == 0 || __builtin_add_overflow(address, size, &end)) return false;
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(fopen("/proc/self/maps", "re"), fclose);
  if (maps == nullptr) return LastError("open");

  // Lines ascend and do not overlap: walk them and push `address` forward over each that continues the range.
  char line[4096 + 256];  // a path and the columns before it
  while (fgets(line, sizeof(line), maps.get()) != nullptr) {
    uint64_t first, last;
    char mode[5];
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &first, &last, mode) != 3) continue;
    if (last <= address) continue;
    if (first > address) return false;
    if (mode[0] != 'r' || (writable && mode[1] != 'w')) return false;
    address = last;
    if (address >= end) return true;
  }
  return false;
}

}  // namespace sys
