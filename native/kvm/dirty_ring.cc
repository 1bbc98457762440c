// Handing over what was gathered of a slot.

#include "kvm/dirty_ring.h"

#include <bit>

namespace kvm {

size_t GatheredPages::MoveTo(const sys::PageSink& sink, uint64_t first) {
  size_t found = pages_;
  if (all_) {
    sys::OrRange(sink, first, pages_);
  } else {
    found = sys::OrBits({sink.bits}, first, bits_.data(), pages_);
  }
  if (found == 0) return 0;
  for (size_t index = 0; index < bits_.size(); ++index) {
    for (uint64_t rest = bits_[index]; rest != 0; rest &= rest - 1) {
      const uint64_t page = 64 * index + static_cast<uint64_t>(std::countr_zero(rest));
      if (sink.writers != nullptr) sink.writers[first + page] = writers_[page];
    }
    bits_[index] = 0;
  }
  return found;
}

}  // namespace kvm
