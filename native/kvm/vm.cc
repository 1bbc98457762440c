// The ioctls of a VM's descriptor, and the table of slots that the kernel accepted.

#include "kvm/vm.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "kvm/abi.h"
#include "kvm/flex_array.h"
#include "sys/checked_ioctl.h"

namespace kvm {

using sys::Ioctl;
using sys::IoctlVoid;

namespace {

/**
 * Words per KVM_CLEAR_DIRTY_LOG: 64 MiB of guest memory. The kernel holds the VM's MMU lock for a call, and a vCPU that
 * writes to a protected page waits for it.
 */
constexpr size_t kClearWords = 256;

}  // namespace

sys::Result<sys::UniqueFd> DupVmFd(int fd) {
  auto copy = sys::UniqueFd::Dup(fd);
  if (!copy.ok()) return copy.error();
  // No ioctl tells a VM's descriptor from /dev/kvm's own or a vCPU's without side effects; the name of the inode does.
  char link[64];
  char target[64];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", copy.value().get());
  const ssize_t length = readlink(link, target, sizeof(target) - 1);
  if (length < 0) return sys::LastError("readlink");
  target[length] = '\0';
  if (strcmp(target, "anon_inode:kvm-vm") != 0) return sys::SysError{ENOTTY, "KVM_VM"};
  return copy;
}

sys::Result<Vm> Vm::Attach(int fd) {
  auto copy = DupVmFd(fd);
  if (!copy.ok()) return copy.error();
  return Vm(std::move(copy.value()));
}

sys::Result<int> Vm::CheckExtension(uint32_t cap) const {
  return Ioctl(fd_.get(), KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION", static_cast<unsigned long>(cap));
}

sys::Result<void> Vm::EnableCap(uint32_t cap, const uint64_t (&args)[4]) {
  kvm_enable_cap request = {};
  request.cap = cap;
  for (size_t i = 0; i < 4; ++i) request.args[i] = args[i];
  return IoctlVoid(fd_.get(), KVM_ENABLE_CAP, "KVM_ENABLE_CAP", &request);
}

sys::Result<void> Vm::SetMemoryRegion(uint32_t id, const Slot& slot) {
  kvm_userspace_memory_region region = {};
  region.slot = id;
  region.flags = slot.flags;
  region.guest_phys_addr = slot.guest_addr;
  region.memory_size = slot.size;
  region.userspace_addr = slot.host_addr;
  const Slot* old = FindSlot(id);
  const bool logged = old != nullptr && (old->flags & KVM_MEM_LOG_DIRTY_PAGES) != 0;
  const bool logs = slot.size > 0 && (slot.flags & KVM_MEM_LOG_DIRTY_PAGES) != 0;
  // Before the kernel logs: a vCPU may find its ring full at once.
  if (rings_ != nullptr && logs && !logged) rings_->AddSlot(id, slot.pages());
  auto done = IoctlVoid(fd_.get(), KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &region);
  if (rings_ != nullptr && (done.ok() ? logged && !logs : logs && !logged)) rings_->RemoveSlot(id);
  if (!done.ok()) return done;
  if (slot.size == 0) {
    slots_.erase(id);
  } else {
    slots_.insert_or_assign(id, slot);
  }
  return done;
}

const Slot* Vm::FindSlot(uint32_t id) const {
  const auto found = slots_.find(id);
  return found == slots_.end() ? nullptr : &found->second;
}

sys::Result<size_t> Vm::OrDirtyLog(uint32_t id, const sys::PageSink& sink, uint64_t first) {
  if (rings_ != nullptr) return rings_->MoveSlot(id, sink, first);
  const Slot* slot = FindSlot(id);
  if (slot == nullptr) return sys::SysError{ENOENT, "KVM_GET_DIRTY_LOG"};
  // Neither cleared nor made smaller: the kernel writes all that is looked at, and words that come back would be
  // cleared.
  const auto words = static_cast<size_t>((slot->pages() + 63) / 64);
  if (log_.size() < words) log_.resize(words);
  kvm_dirty_log request = {};
  request.slot = id;
  // SAFETY: the kernel writes ALIGN(pages, 64) / 8 bytes; pages come from the slot that the kernel accepted from us,
  // whose size it never changes (a new size needs a deletion, which also goes through SetMemoryRegion).
  request.dirty_bitmap = log_.data();
  auto done = IoctlVoid(fd_.get(), KVM_GET_DIRTY_LOG, "KVM_GET_DIRTY_LOG", &request);
  if (!done.ok()) return done.error();
  const size_t found = sys::OrBits(sink, first, log_.data(), slot->pages());
  if (!manual_log_ || found == 0) return found;
  auto cleared = ClearLogged(id, slot->pages());
  if (!cleared.ok()) return cleared.error();
  return found;
}

sys::Result<void> Vm::ClearLogged(uint32_t id, uint64_t pages) {
  const auto words = static_cast<size_t>((pages + 63) / 64);
  for (size_t chunk = 0; chunk < words; chunk += kClearWords) {
    size_t begin = chunk;
    size_t end = std::min(chunk + kClearWords, words);
    while (begin < end && log_[begin] == 0) ++begin;
    if (begin == end) continue;
    while (log_[end - 1] == 0) --end;
    kvm_clear_dirty_log request = {};
    request.slot = id;
    request.first_page = 64 * begin;
    // A multiple of 64, except at the slot's end.
    request.num_pages = static_cast<uint32_t>(std::min<uint64_t>(64 * end, pages) - request.first_page);
    // SAFETY: the kernel reads ALIGN(num_pages, 64) / 8 bytes: the words [begin, end).
    request.dirty_bitmap = log_.data() + begin;
    auto done = IoctlVoid(fd_.get(), KVM_CLEAR_DIRTY_LOG, "KVM_CLEAR_DIRTY_LOG", &request);
    if (!done.ok()) return done;
  }
  return {};
}

sys::Result<void> Vm::SetManualLog(bool on, bool initially_set) {
  uint64_t flags = 0;
  if (on) flags |= KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
  if (on && initially_set) flags |= KVM_DIRTY_LOG_INITIALLY_SET;
  auto done = EnableCap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, {flags, 0, 0, 0});
  if (done.ok()) manual_log_ = on;
  return done;
}

sys::Result<void> Vm::ClearDirtyLog(uint32_t id) {
  const Slot* slot = FindSlot(id);
  if (slot == nullptr) return sys::SysError{ENOENT, "KVM_CLEAR_DIRTY_LOG"};
  const uint64_t pages = slot->pages();
  log_.assign(static_cast<size_t>((pages + 63) / 64), ~uint64_t{0});
  if (pages % 64 != 0) log_.back() >>= 64 - pages % 64;
  return ClearLogged(id, pages);
}

sys::Result<void> Vm::EnableDirtyRing(uint32_t entries) {
  auto rings = DirtyRings::Enable(fd_.get(), entries);
  if (!rings.ok()) return rings.error();
  rings_ = std::move(rings.value());
  for (const auto& [id, slot] : slots_) {
    if ((slot.flags & KVM_MEM_LOG_DIRTY_PAGES) != 0) rings_->AddSlot(id, slot.pages());
  }
  return {};
}

sys::Result<void> Vm::CreateIrqchip() { return IoctlVoid(fd_.get(), KVM_CREATE_IRQCHIP, "KVM_CREATE_IRQCHIP", 0); }

sys::Result<void> Vm::SplitIrqchip(uint32_t pins) { return EnableCap(KVM_CAP_SPLIT_IRQCHIP, {pins, 0, 0, 0}); }

sys::Result<void> Vm::SetMsiRoutes(std::span<const MsiRoute> routes) {
  FlexArray<kvm_irq_routing, kvm_irq_routing_entry> list(routes.size());
  list.header()->nr = static_cast<uint32_t>(routes.size());
  for (size_t i = 0; i < routes.size(); ++i) {
    kvm_irq_routing_entry& entry = list.entries()[i];
    entry.gsi = routes[i].gsi;
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = routes[i].address;
    entry.u.msi.data = routes[i].data;
  }
  return IoctlVoid(fd_.get(), KVM_SET_GSI_ROUTING, "KVM_SET_GSI_ROUTING", list.header());
}

sys::Result<bool> Vm::SignalMsi(uint32_t address, uint32_t data) {
  kvm_msi message = {};
  message.address_lo = address;
  message.data = data;
  auto taken = Ioctl(fd_.get(), KVM_SIGNAL_MSI, "KVM_SIGNAL_MSI", &message);
  // The kernel's delivery answers -1 where no LAPIC has the destination, and the system call makes EPERM of it.
  if (!taken.ok() && taken.error().errnum == EPERM) return false;
  if (!taken.ok()) return taken.error();
  return taken.value() > 0;
}

sys::Result<void> Vm::CreatePit() {
  kvm_pit_config config = {};
  config.flags = KVM_PIT_SPEAKER_DUMMY;
  return IoctlVoid(fd_.get(), KVM_CREATE_PIT2, "KVM_CREATE_PIT2", &config);
}

sys::Result<void> Vm::SetTssAddr(uint64_t addr) {
  return IoctlVoid(fd_.get(), KVM_SET_TSS_ADDR, "KVM_SET_TSS_ADDR", static_cast<unsigned long>(addr));
}

sys::Result<void> Vm::SetIdentityMapAddr(uint64_t addr) {
  return IoctlVoid(fd_.get(), KVM_SET_IDENTITY_MAP_ADDR, "KVM_SET_IDENTITY_MAP_ADDR", &addr);
}

sys::Result<void> Vm::IrqLine(uint32_t gsi, uint32_t level) {
  kvm_irq_level request = {};
  request.irq = gsi;
  request.level = level;
  return IoctlVoid(fd_.get(), KVM_IRQ_LINE, "KVM_IRQ_LINE", &request);
}

sys::Result<void> Vm::SetIoEventFd(const IoWrites& writes, const sys::EventFd& event, uint32_t flags) {
  kvm_ioeventfd request = {};
  request.addr = writes.address;
  request.len = writes.length;
  request.fd = event.fd();
  request.flags = flags;
  if (writes.is_port) request.flags |= KVM_IOEVENTFD_FLAG_PIO;
  if (writes.match.has_value()) {
    request.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
    request.datamatch = *writes.match;
  }
  return IoctlVoid(fd_.get(), KVM_IOEVENTFD, "KVM_IOEVENTFD", &request);
}

sys::Result<void> Vm::AssignIoEventFd(const IoWrites& writes, const sys::EventFd& event) {
  return SetIoEventFd(writes, event, 0);
}

sys::Result<void> Vm::DeassignIoEventFd(const IoWrites& writes, const sys::EventFd& event) {
  return SetIoEventFd(writes, event, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

sys::Result<void> Vm::AssignIrqFd(uint32_t gsi, const sys::EventFd& event, const sys::EventFd* resample) {
  kvm_irqfd request = {};
  request.fd = static_cast<uint32_t>(event.fd());
  request.gsi = gsi;
  if (resample != nullptr) {
    request.flags = KVM_IRQFD_FLAG_RESAMPLE;
    request.resamplefd = static_cast<uint32_t>(resample->fd());
  }
  return IoctlVoid(fd_.get(), KVM_IRQFD, "KVM_IRQFD", &request);
}

sys::Result<void> Vm::DeassignIrqFd(uint32_t gsi, const sys::EventFd& event) {
  kvm_irqfd request = {};
  request.fd = static_cast<uint32_t>(event.fd());
  request.gsi = gsi;
  request.flags = KVM_IRQFD_FLAG_DEASSIGN;
  return IoctlVoid(fd_.get(), KVM_IRQFD, "KVM_IRQFD", &request);
}

std::vector<uint32_t> Vm::Close() {
  std::vector<uint32_t> refused;
  if (!fd_.valid()) return refused;
  for (auto entry = slots_.begin(); entry != slots_.end();) {
    const uint32_t id = (entry++)->first;  // the deletion removes the entry
    Slot none = {};
    if (!SetMemoryRegion(id, none).ok()) refused.push_back(id);
  }
  slots_.clear();
  // vCPUs that are still there keep their own reference.
  if (rings_ != nullptr) DirtyRings::Forget(fd_.get());
  rings_.reset();
  fd_.Reset();
  return refused;
}

}  // namespace kvm
