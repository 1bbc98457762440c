// The consumer's side of one vCPU's dirty ring, and the pages that were gathered of one slot: memory and atomics alone,
// no ioctl, so that it can be tested with a thread in the kernel's place. Not locked: see dirty_rings.h. Documentation:
// virt/kvm/api.rst, 8.29.

#ifndef NODE_KVM_KVM_DIRTY_RING_H_
#define NODE_KVM_KVM_DIRTY_RING_H_

#include <cstdint>
#include <vector>

#include "kvm/abi.h"
#include "sys/bitmap.h"

namespace kvm {

static_assert(sizeof(kvm_dirty_gfn) == 16);

/** In the code of a page's writer: it is a vCPU, and the low bits are its index (shared/writer.ts: WRITER_VCPU). */
inline constexpr uint16_t kVcpuWriter = 0x8000;

/** Entries that the kernel has written and that were not taken yet. */
class DirtyRing {
 public:
  /** SAFETY: `entries` point to `size` (a power of two) entries that outlive this object. */
  DirtyRing(kvm_dirty_gfn* entries, uint32_t size) : entries_(entries), size_(size) {}

  /**
   * Takes the entries that are there, in order, handing (slot, offset) of each to `visit`; returns how many. The kernel
   * reuses them after the next KVM_RESET_DIRTY_RINGS, and only then watches their pages again.
   */
  template <typename Visit>
  uint32_t Take(Visit visit) {
    uint32_t taken = 0;
    for (; taken < size_; ++taken) {
      kvm_dirty_gfn& entry = entries_[next_ & (size_ - 1)];
      // Acquire: the kernel writes slot and offset before the flag.
      if (__atomic_load_n(&entry.flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY) break;
      visit(entry.slot, entry.offset);
      // Release: the kernel may overwrite the entry once it sees this.
      __atomic_store_n(&entry.flags, uint32_t{KVM_DIRTY_GFN_F_RESET}, __ATOMIC_RELEASE);
      ++next_;
    }
    return taken;
  }

  uint32_t size() const { return size_; }

 private:
  kvm_dirty_gfn* entries_;
  uint32_t size_;
  /** Entries taken so far, modulo 2^32: a multiple of any size. */
  uint32_t next_ = 0;
};

/** Dirty pages of one slot that were taken out of rings and wait to be asked for. */
class GatheredPages {
 public:
  explicit GatheredPages(uint64_t pages) : pages_(pages), bits_((pages + 63) / 64), writers_(pages) {}

  uint64_t pages() const { return pages_; }
  /** False when the slot has no such page. */
  bool Add(uint64_t page, uint16_t writer) {
    if (page >= pages_) return false;
    bits_[page / 64] |= uint64_t{1} << (page % 64);
    writers_[page] = writer;
    return true;
  }
  /**
   * Entries were lost. All pages are dirty, and remain so for good: those whose entries were lost are writable, and the
   * kernel says nothing of the next writes to them either.
   */
  void AddAllForGood() { all_ = true; }
  /**
   * Moves the pages into `sink`, page 0 at bit `first`; the sink's writer where nobody knows a better one. Returns how
   * many. The sink holds first + pages bits: the caller checks.
   */
  size_t MoveTo(const sys::PageSink& sink, uint64_t first);

 private:
  uint64_t pages_;
  std::vector<uint64_t> bits_;
  /** Valid where the bit is set. */
  std::vector<uint16_t> writers_;
  bool all_ = false;
};

}  // namespace kvm

#endif  // NODE_KVM_KVM_DIRTY_RING_H_
