// One vCPU: its descriptor, its run page, KVM_RUN and its state. Created, driven and closed on one thread, its own:
// every ioctl of another thread would wait until KVM_RUN returns.

#ifndef NODE_KVM_KVM_VCPU_H_
#define NODE_KVM_KVM_VCPU_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "kvm/dirty_rings.h"
#include "kvm/vcpu_stats.h"
#include "sys/hand_over.h"
#include "sys/mapping.h"
#include "sys/result.h"
#include "sys/unique_fd.h"

struct kvm_run;

namespace kvm {

/** The fixed-size states: one KVM_GET_x and one KVM_SET_x each. */
enum class VcpuState { kRegs, kSregs, kFpu, kXsave, kXcrs, kDebugregs, kEvents, kMpState, kLapic };

/** sizeof the state's struct. */
size_t StateSize(VcpuState state);
/** The largest of them. */
inline constexpr size_t kMaxStateSize = 4096;

/** The MSR that stopped a KVM_GET_MSRS or KVM_SET_MSRS, or none. */
struct MsrOutcome {
  std::optional<uint32_t> refused;
};

class Vcpu {
 public:
  /** kvm_run, the page of PIO data and the one of coalesced MMIO: their places are ABI on x86, so the size is fixed. */
  static constexpr size_t kRunMappingSize = 3 * 4096;

  /**
   * KVM_CREATE_VCPU and its mapping, and that of its dirty ring if the VM has rings (enabled through the very
   * descriptor `vm_fd`). `stats` outlives the vCPU; it is written by Run() alone. ENOTTY ("KVM_VM") or EBADF when
   * `vm_fd` is not a VM's.
   */
  static sys::Result<Vcpu> Create(int vm_fd, uint32_t index, VcpuStats* stats);
  Vcpu(Vcpu&&) noexcept = default;
  Vcpu& operator=(Vcpu&&) = delete;
  ~Vcpu() { Close(); }

  bool open() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  /** The run mapping, for whoever wants to keep it mapped longer than the vCPU lives. */
  const std::shared_ptr<sys::Mapping>& run_mapping() const { return mapping_; }

  /**
   * KVM_RUN. 0: an exit to decode in kvm_run. Otherwise -errno, and kvm_run is stale; -EINTR and -EAGAIN: kicked (or
   * not runnable), and immediate_exit is cleared already, so that a request word that is read next is not older than
   * the kick that was just consumed. The exit of a full dirty ring is handled here, counted as an exit, and returned as
   * -EINTR.
   */
  int Run();
  /**
   * KVM_RUN, over and over, until the guest reads `port`: 0. Writes to ports and to addresses without memory are counted
   * as handled in `exits`, here or, with a `bell`, by the thread that serves it, and do nothing else: the lab's baseline of
   * an exit. -errno as Run(), without its statistics, a full ring among it; -ETIMEDOUT when nobody serves; any other exit:
   * its reason (none is 0).
   */
  int RunToPort(uint16_t port, sys::ExitWords* exits, uint32_t* bell);
  /**
   * What failed when Run() returned an error that is neither -EINTR nor -EAGAIN: "KVM_RUN", or "KVM_RESET_DIRTY_RINGS"
   * for a full ring that could not be emptied. Nothing is lost then, and the next Run() tries again.
   */
  const char* failed_call() const { return failed_call_; }

  sys::Result<void> GetState(VcpuState state, void* into) const;
  sys::Result<void> SetState(VcpuState state, const void* from);
  sys::Result<MsrOutcome> GetMsrs(std::span<const uint32_t> indices, std::span<uint64_t> values) const;
  sys::Result<MsrOutcome> SetMsrs(std::span<const uint32_t> indices, std::span<const uint64_t> values);
  /** KVM_SET_CPUID2 with struct kvm_cpuid_entry2[]; whole entries. */
  sys::Result<void> SetCpuid(std::span<const uint8_t> entries);
  static constexpr size_t kCpuidEntrySize = 40;
  /** KVM_SET_GUEST_DEBUG with struct kvm_guest_debug. */
  sys::Result<void> SetGuestDebug(const void* from);
  static constexpr size_t kGuestDebugSize = 72;
  /** KVM_TRANSLATE; none where the address is not mapped. */
  sys::Result<std::optional<uint64_t>> Translate(uint64_t linear) const;
  sys::Result<void> Interrupt(uint32_t vector);
  sys::Result<void> Nmi();

  /**
   * Releases the vCPU now. The run mapping keeps its address but becomes plain memory: threads that hold it may still
   * store a kick there, and no longer keep the kernel's vCPU (and with it the VM) alive. Idempotent.
   */
  void Close();

 private:
  Vcpu(sys::UniqueFd fd, uint32_t index, std::shared_ptr<sys::Mapping> mapping, std::shared_ptr<DirtyRings> rings,
       VcpuStats* stats);
  /** What Run() returns after a full ring. */
  int EmptyRing();
  void ClearImmediateExit();

  sys::UniqueFd fd_;
  std::shared_ptr<sys::Mapping> mapping_;
  std::shared_ptr<DirtyRings> rings_;  // null: the VM has none
  kvm_run* run_;
  VcpuStats* stats_;
  uint32_t index_;
  const char* failed_call_ = "KVM_RUN";
  uint64_t last_return_ns_ = 0;
  bool last_was_exit_ = false;
};

}  // namespace kvm

#endif  // NODE_KVM_KVM_VCPU_H_
