// The dirty rings of a VM: one per vCPU, harvested by the coordinator and, when one is full, by its vCPU's own thread.
// Any thread; one lock. Shared by the Vm and its Vcpus, and outlives either.

#ifndef NODE_KVM_KVM_DIRTY_RINGS_H_
#define NODE_KVM_KVM_DIRTY_RINGS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "kvm/dirty_ring.h"
#include "sys/mapping.h"
#include "sys/result.h"
#include "sys/unique_fd.h"

namespace kvm {

/** Of one vCPU, since the rings were enabled. */
struct RingCounters {
  uint64_t entries = 0;
  uint64_t full_exits = 0;
  uint64_t overflows = 0;
};

class DirtyRings {
 public:
  /**
   * KVM_ENABLE_CAP of KVM_CAP_DIRTY_LOG_RING_ACQ_REL, or of KVM_CAP_DIRTY_LOG_RING, which is the same on x86. `entries`
   * per vCPU, a power of two. ENOTSUP where KVM has neither; EINVAL with too many or too few entries, a second time, or
   * when the VM has vCPUs. From then on, Find(vm_fd) returns the object, until Forget(vm_fd).
   */
  static sys::Result<std::shared_ptr<DirtyRings>> Enable(int vm_fd, uint32_t entries);
  /** Those of the VM whose descriptor is `vm_fd`: the very number that they were enabled with. Null: that VM has no
   * rings. */
  static std::shared_ptr<DirtyRings> Find(int vm_fd);
  /** Before `vm_fd` is closed, and its number becomes another file's. */
  static void Forget(int vm_fd);

  DirtyRings(sys::UniqueFd vm, uint32_t entries) : vm_(std::move(vm)), entries_(entries) {}
  DirtyRings(const DirtyRings&) = delete;
  DirtyRings& operator=(const DirtyRings&) = delete;

  /** Maps the ring of a new vCPU. */
  sys::Result<void> AddVcpu(uint32_t index, int vcpu_fd);
  /** The last entries of a vCPU, whose thread has left KVM_RUN for good; its ring is unmapped. */
  void RemoveVcpu(uint32_t index);

  /** Gathers the pages of a slot that begins to log; what rings still hold of an earlier slot by that id is dropped. */
  void AddSlot(uint32_t id, uint64_t pages);
  /** Drops the slot's pages and entries. */
  void RemoveSlot(uint32_t id);

  /**
   * Takes every ring's entries and has KVM reset them. Returns how many were taken. When it fails, they are kept, but
   * pages may be written without notice until a later call succeeds.
   */
  sys::Result<uint64_t> Collect();
  /** The same for one vCPU's ring, which KVM_RUN said is full. On that vCPU's thread. */
  sys::Result<uint64_t> EmptyFull(uint32_t index);
  /**
   * Moves what was gathered of a slot, see GatheredPages::MoveTo; never a page whose entry is not reset. ENOENT
   * ("KVM_RESET_DIRTY_RINGS") when it does not log.
   */
  sys::Result<size_t> MoveSlot(uint32_t id, const sys::PageSink& sink, uint64_t first);

  /** Zeros for a vCPU that was never there. */
  RingCounters Counters(uint32_t index);

 private:
  struct VcpuRing {
    sys::Mapping mapping;
    DirtyRing ring;
    RingCounters counters;
    /** Taken since all rings were reset last. */
    uint64_t unreset = 0;
    bool mapped = true;
  };

  // With mutex_ held:
  uint64_t Take(uint32_t index, VcpuRing& ring);
  uint64_t TakeAll();
  sys::Result<void> Reset();

  /** Our own descriptor: it is good as long as we are, whoever closes theirs. */
  const sys::UniqueFd vm_;
  const uint32_t entries_;
  std::mutex mutex_;  // guards what follows
  std::map<uint32_t, VcpuRing> rings_;
  /** Entries of all rings that were taken, and that the kernel has not reset yet. */
  uint64_t unreset_ = 0;
  std::map<uint32_t, GatheredPages> slots_;
};

}  // namespace kvm

#endif  // NODE_KVM_KVM_DIRTY_RINGS_H_
