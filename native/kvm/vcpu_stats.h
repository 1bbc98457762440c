// The statistics words that Vcpu::run() writes and TypeScript reads in place: layout only, no code. One writer, the
// vCPU's own thread. Plain 8-byte stores: a reader on another thread sees each word whole, but the words of one exit
// not all at once. Imports nothing of the project, so that the ABI generator can include it.

#ifndef NODE_KVM_KVM_VCPU_STATS_H_
#define NODE_KVM_KVM_VCPU_STATS_H_

#include <cstddef>
#include <cstdint>

namespace kvm {

inline constexpr size_t kExitReasonSlots = 64;
inline constexpr size_t kHandlingBuckets = 40;

struct VcpuStats {
  // Nanoseconds inside KVM_RUN, and between one return of it and the next entry.
  uint64_t guest_ns;
  uint64_t outside_ns;
  // KVM_RUN calls that returned an exit, and those that a signal (or immediate_exit) ended.
  uint64_t exits;
  uint64_t interrupted;
  // CLOCK_MONOTONIC of the last return from KVM_RUN; 0 = none yet, or the pause since then is not to be counted as
  // handling.
  uint64_t last_return_ns;
  // CLOCK_MONOTONIC of the first entry into KVM_RUN; 0 = none yet.
  uint64_t first_entry_ns;
  uint64_t reserved[2];
  // By kvm_run.exit_reason; reasons beyond the table are counted in its last word.
  uint64_t exits_by_reason[kExitReasonSlots];
  // Bucket b counts the exits that were handled in [2^b, 2^(b+1)) ns; bucket 0 takes 0 ns too, the last one all that is
  // longer.
  uint64_t handling_histogram[kHandlingBuckets];
};

static_assert(sizeof(VcpuStats) == (8 + kExitReasonSlots + kHandlingBuckets) * sizeof(uint64_t));
static_assert(alignof(VcpuStats) == 8);

}  // namespace kvm

#endif  // NODE_KVM_KVM_VCPU_STATS_H_
