// A VM's descriptor and the slots that were registered through it. Used by one thread, the coordinator's.

#ifndef NODE_KVM_KVM_VM_H_
#define NODE_KVM_KVM_VM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kvm/dirty_rings.h"
#include "sys/bitmap.h"
#include "sys/event_fd.h"
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

/** Which of the guest's writes signal an ioeventfd. */
struct IoWrites {
  bool is_port;
  uint64_t address;
  /** 1, 2, 4 or 8 bytes: writes of this size alone; 0: of any size. */
  uint32_t length;
  /** Writes of this value alone; none: of any value. Not with length 0. */
  std::optional<uint64_t> match;
};

/** What a signal of an irqfd at `gsi` writes: an interrupt message to the LAPICs (Intel SDM volume 3, 11.11). */
struct MsiRoute {
  uint32_t gsi;
  uint32_t address;
  uint32_t data;
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
  /**
   * KVM_CAP_SPLIT_IRQCHIP: LAPICs in the kernel, and neither PIC nor IOAPIC. `pins`: GSIs 0 to pins - 1 are an IOAPIC's
   * of user space: the EOI of a level-triggered vector that one of their routes has is a KVM_EXIT_IOAPIC_EOI. Before
   * the first vCPU.
   */
  sys::Result<void> SplitIrqchip(uint32_t pins);
  /** KVM_SET_GSI_ROUTING: these routes, and no others. irqfds follow before it returns. */
  sys::Result<void> SetMsiRoutes(std::span<const MsiRoute> routes);
  /** KVM_SIGNAL_MSI. False: no LAPIC took it. */
  sys::Result<bool> SignalMsi(uint32_t address, uint32_t data);
  /** KVM_CREATE_PIT2, with port 0x61 handled by the kernel as well (the speaker's gate is where guests calibrate
   * timers). */
  sys::Result<void> CreatePit();
  sys::Result<void> SetTssAddr(uint64_t addr);
  sys::Result<void> SetIdentityMapAddr(uint64_t addr);
  sys::Result<void> IrqLine(uint32_t gsi, uint32_t level);

  /**
   * KVM_IOEVENTFD: such writes signal the event, and are no exits any more. KVM keeps the event itself alive until they
   * are deassigned, for which all of `writes` and the event must be the same (ENOENT), or until the VM is gone. EEXIST:
   * some of them signal an event already.
   */
  sys::Result<void> AssignIoEventFd(const IoWrites& writes, const sys::EventFd& event);
  sys::Result<void> DeassignIoEventFd(const IoWrites& writes, const sys::EventFd& event);
  /**
   * KVM_IRQFD: a signal of the event raises `gsi`, of an interrupt controller in the kernel, as an edge; KVM takes what
   * was added to the counter. With `resample` (or null) as a level: it stays raised until the guest has acknowledged
   * it, and then `resample` is signalled. Ends by itself when the event's last descriptor is closed.
   */
  sys::Result<void> AssignIrqFd(uint32_t gsi, const sys::EventFd& event, const sys::EventFd* resample);
  /** When it has returned, no signal of the event raises `gsi` any more. What is not assigned is no error. */
  sys::Result<void> DeassignIrqFd(uint32_t gsi, const sys::EventFd& event);

  /**
   * Deletes the slots, then closes the descriptor: vCPUs of other threads may keep the VM itself alive, and must not
   * reach memory that is unmapped next. Returns the ids of slots that the kernel refused to delete: their memory has to
   * stay. Idempotent.
   */
  std::vector<uint32_t> Close();

 private:
  sys::Result<void> SetIoEventFd(const IoWrites& writes, const sys::EventFd& event, uint32_t flags);
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
