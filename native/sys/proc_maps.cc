// Walks /proc/self/maps.

#include "sys/proc_maps.h"

#include <cinttypes>
#include <cstdio>
#include <memory>

namespace sys {
namespace {

struct Line {
  uint64_t first;
  uint64_t last;
  /** As printed: "rwxp" or "rwxs". */
  char mode[5];
};

/** Calls `each(line)` for the mappings from `address` on, ascending, while it returns true. */
template <typename Each>
Result<void> WalkFrom(uint64_t address, Each each) {
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(fopen("/proc/self/maps", "re"), fclose);
  if (maps == nullptr) return LastError("open");
  char text[4096 + 256];  // a path and the columns before it
  Line line;
  while (fgets(text, sizeof(text), maps.get()) != nullptr) {
    if (sscanf(text, "%" SCNx64 "-%" SCNx64 " %4s", &line.first, &line.last, line.mode) != 3) continue;
    if (line.last > address && !each(line)) break;
  }
  return {};
}

}  // namespace

Result<bool> IsMapped(uint64_t address, uint64_t size, bool writable) {
  uint64_t end;
  if (size == 0 || __builtin_add_overflow(address, size, &end)) return false;
  // Lines ascend and do not overlap: push `address` forward over each that continues the range.
  bool mapped = true;
  auto walked = WalkFrom(address, [&](const Line& line) {
    mapped = line.first <= address && line.mode[0] == 'r' && (!writable || line.mode[1] == 'w');
    address = line.last;
    return mapped && address < end;
  });
  if (!walked.ok()) return walked.error();
  return mapped && address >= end;
}

Result<bool> IsShared(uint64_t address) {
  bool shared = false;
  auto walked = WalkFrom(address, [&](const Line& line) {
    shared = line.first <= address && line.mode[3] == 's';
    return false;
  });
  if (!walked.ok()) return walked.error();
  return shared;
}

}  // namespace sys
