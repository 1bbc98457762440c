// Bulk: memcpy and memset between a mapping of the kind that guest memory is and a buffer of the process.

#include <sys/mman.h>

#include "baseline.h"

namespace baseline {

namespace {

uint8_t* memory = nullptr;
size_t memory_bytes = 0;
uint8_t* buffer = nullptr;
size_t buffer_bytes = 0;

/** The compiler must assume that `data` is read and written here: nothing before it can be dropped. */
void Escape(void* data) { asm volatile("" : : "g"(data) : "memory"); }

}  // namespace

/** copies-open <bytes mapped> <largest copy>: commits both. */
Answer OpenCopies(Arguments& line) {
  memory_bytes = Next<size_t>(line);
  buffer_bytes = Next<size_t>(line);
  // Page-aligned as guest memory is. A buffer that lies some bytes further makes each store look like one to the next load's
  // address (they compare 12 bits), and memcpy many times slower than it has to be.
  buffer = static_cast<uint8_t*>(std::aligned_alloc(4096, buffer_bytes));
  if (buffer == nullptr) Fail("aligned_alloc");
  std::memset(buffer, 1, buffer_bytes);
  void* mapped = mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) Fail("mmap");
  memory = static_cast<uint8_t*>(mapped);
  std::memset(memory, 1, memory_bytes);
  return {};
}

/** copies-run <read|write|memset> <bytes a call> <window bytes> <calls>: goes round in the first `window` bytes. */
Answer RunCopies(Arguments& line) {
  const auto kind = Next<std::string>(line);
  const auto bytes = Next<size_t>(line);
  const auto window = Next<size_t>(line);
  const auto calls = Next<size_t>(line);
  if (window > memory_bytes || bytes > buffer_bytes || window % bytes != 0) {
    errno = ERANGE;
    Fail("copies-run");
  }
  size_t at = 0;
  const double start = NowNs();
  for (size_t i = 0; i < calls; ++i) {
    if (kind[0] == 'r') {
      std::memcpy(buffer, memory + at, bytes);
    } else if (kind[0] == 'w') {
      std::memcpy(memory + at, buffer, bytes);
    } else {
      std::memset(memory + at, static_cast<int>(i & 0xff), bytes);
    }
    Escape(buffer);
    Escape(memory);
    at = at + bytes == window ? 0 : at + bytes;
  }
  return {NowNs() - start, 0};
}

}  // namespace baseline
