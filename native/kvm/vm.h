// A VM's descriptor and the slots that were registered through it. Used by one thread, the coordinator's.

#ifndef NODE_KVM_KVM_VM_H_
#define NODE_KVM_KVM_VM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "kvm/dirty_rings.h"
#include "sys/bitmap.h"
#include "sys/result.h"
#include "sys/unique_fd.h"

namespace kvm {

struct Slot {
  uint64_t guest_addr;
  uint64_t size;
  uint64_t host_addr;
  uint32_t flags;

  uint64_t pages() const { return size / 4096; }
};

class Vm {
 public:
  explicit Vm(sys::UniqueFd fd) : fd_(std::move(fd)) {}
  Vm(Vm&&) noexcept = default;
  Vm& operator=(Vm&&) = delete;
  ~Vm() { Close(); }

  /** Our own descriptor of the VM behind `fd`. ENOTTY ("KVM_VM") when it is not a KVM VM's. */
  static sys::Result<Vm> Attach(int fd);

  bool open() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }

  /** KVM_CHECK_EXTENSION on the VM: what this VM can, which may be less than what the host can. */
  sys::Result<int> CheckExtension(uint32_t cap) const;
  /** KVM_ENABLE_CAP with up to four arguments. */
  sys::Result<void> EnableCap(uint32_t cap, const uint64_t (&args)[4]);
  /** KVM_SET_USER_MEMORY_REGION. size 0 deletes. The table of slots follows what the kernel accepted. */
  sys::Result<void> SetMemoryRegion(uint32_t id, const Slot& slot);
  /** The slot as registered through this object; null when it is not. */
  const Slot* FindSlot(uint32_t id) const;
  /**
   * Moves the slot's dirty log into `sink`, the slot's page 0 at bit `first`, and returns how many pages it held. The
   * sink holds first + pages bits: the caller checks. ENOENT when the slot was not registered here, so its size is not
   * known and the kernel would write past any buffer, or when it does not log. Plain: KVM_GET_DIRTY_LOG, which clears.
   * Manual: KVM_GET_DIRTY_LOG, then KVM_CLEAR_DIRTY_LOG by chunks; when that fails halfway, the whole log is in the
   * sink, and what was not cleared is reported again. With rings: what was gathered from them.
   */
  sys::Result<size_t> OrDirtyLog(uint32_t id, const sys::PageSink& sink, uint64_t first);
  /**
   * KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 on or off. `initially_set`: slots that begin to log have every page in their log,
   * and are write-protected when it is cleared. While no slot logs.
   */
  sys::Result<void> SetManualLog(bool on, bool initially_set);
  /** KVM_CLEAR_DIRTY_LOG of the whole slot by chunks, whatever its log holds. ENOENT as OrDirtyLog. */
  sys::Result<void> ClearDirtyLog(uint32_t id);
  /** See DirtyRings::Enable. Before there are vCPUs, and for good. */
  sys::Result<void> EnableDirtyRing(uint32_t entries);
  /** Null: the VM has none. */
  DirtyRings* rings() const { return rings_.get(); }

  sys::Result<void> CreateIrqchip();
  /** KVM_CREATE_PIT2, with port 0x61 handled by the kernel as well (the speaker's gate is where guests calibrate
   * timers). */
  sys::Result<void> CreatePit();
  sys::Result<void> SetTssAddr(uint64_t addr);
  sys::Result<void> SetIdentityMapAddr(uint64_t addr);
  sys::Result<void> IrqLine(uint32_t gsi, uint32_t level);

  /**
   * Deletes the slots, then closes the descriptor: vCPUs of other threads may keep the VM itself alive, and must not
   * reach memory that is unmapped next. Returns the ids of slots that the kernel refused to delete: their memory has to
   * stay. Idempotent.
   */
  std::vector<uint32_t> Close();

 private:
  /** KVM_CLEAR_DIRTY_LOG of the pages whose bits are set in log_. */
  sys::Result<void> ClearLogged(uint32_t id, uint64_t pages);

  sys::UniqueFd fd_;
  std::map<uint32_t, Slot> slots_;
  std::vector<uint64_t> log_;
  bool manual_log_ = false;
  std::shared_ptr<DirtyRings> rings_;
};

/** Our own descriptor of the VM behind `fd`; ENOTTY ("KVM_VM") when it is not a KVM VM's, EBADF likewise. */
sys::Result<sys::UniqueFd> DupVmFd(int fd);

}  // namespace kvm

#endif  // NODE_KVM_KVM_VM_H_
