// Dirty tracking in C++: the same ioctls as the library's sources, the plainest code around them. A harvest makes pairs of
// (guest address, bytes), ascending and merged, in an array of doubles, which is what the library gives to JavaScript.

#ifndef NODE_KVM_BENCH_DIRTY_SOURCES_H_
#define NODE_KVM_BENCH_DIRTY_SOURCES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bare_vm.h"

namespace baseline {

inline constexpr uint64_t kPageSize = 4096;

/** One slot: what KVM knows of it, and the bitmap of the pages that host threads wrote (as vm-memory of rust-vmm keeps it). */
struct Slot {
  uint32_t id;
  uint64_t guest_address;
  uint64_t bytes;
  uint8_t* host;
  std::unique_ptr<std::atomic<uint64_t>[]> written;

  uint64_t pages() const { return bytes / kPageSize; }
  uint64_t words() const { return (pages() + 63) / 64; }
  void MarkWritten(uint64_t page) { written[page / 64].fetch_or(uint64_t{1} << (page % 64), std::memory_order_seq_cst); }
  /** The bits of 64 pages, which are cleared. Most words are zero: those are not written. */
  uint64_t TakeWritten(uint64_t word) {
    return written[word].load(std::memory_order_relaxed) == 0 ? 0 : written[word].exchange(0, std::memory_order_seq_cst);
  }
};

/** The array that a harvest fills. Made for the worst case; what is not used is not committed. */
class Ranges {
 public:
  explicit Ranges(uint64_t pages) : values_(new double[pages + 2]) {}

  void Clear() { size_ = 0; }

  void Append(uint64_t address, uint64_t bytes) {
    if (size_ > 0 && values_[size_ - 2] + values_[size_ - 1] == static_cast<double>(address)) {
      values_[size_ - 1] += static_cast<double>(bytes);
      return;
    }
    values_[size_++] = static_cast<double>(address);
    values_[size_++] = static_cast<double>(bytes);
  }

  /** The runs of set bits of 64 pages, the first of which is at `address`. */
  void AppendWord(uint64_t word, uint64_t address) {
    while (word != 0) {
      const int start = __builtin_ctzll(word);
      const uint64_t shifted = ~(word >> start);
      const int run = shifted == 0 ? 64 : __builtin_ctzll(shifted);
      Append(address + static_cast<uint64_t>(start) * kPageSize, static_cast<uint64_t>(run) * kPageSize);
      if (start + run >= 64) return;
      word &= ~uint64_t{0} << (start + run);
    }
  }

  const double* values() const { return values_.get(); }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<double[]> values_;
  size_t size_ = 0;
};

/** One way to find dirty pages. Every failure ends the process. */
class DirtySource {
 public:
  virtual ~DirtySource() = default;
  virtual void Start() = 0;
  virtual void Stop() = 0;
  /** Fetch and clear; `ranges` is overwritten. */
  virtual void Harvest(Ranges& ranges) = 0;
  /** A vCPU left KVM_RUN because of the source. False: it did not. Called on its thread. */
  virtual bool Serve(BareVcpu&) { return false; }
  /** The two halves of a harvest, where the kernel has two calls: KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG of everything. */
  virtual void Get() {}
  virtual void Clear() {}
};

/** `name`: plain, manual, manual-all (KVM's log; every page dirty at first), ring, pagemap, host. `vm` is null without KVM. Before any vCPU. */
std::unique_ptr<DirtySource> MakeDirtySource(const std::string& name, BareVm* vm, std::vector<Slot>& slots, uint32_t ring_entries);

/** For the ring: every vCPU, once, before its first run. */
void AddRing(DirtySource& source, BareVcpu& vcpu);

}  // namespace baseline

#endif  // NODE_KVM_BENCH_DIRTY_SOURCES_H_
