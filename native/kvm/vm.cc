// The ioctls of a VM's descriptor, and the table of slots that the kernel accepted.

#include "kvm/vm.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "kvm/abi.h"
#include "sys/checked_ioctl.h"

namespace kvm {

using sys::Ioctl;
using sys::IoctlVoid;

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
  auto done = IoctlVoid(fd_.get(), KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &region);
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
  const Slot* slot = FindSlot(id);
  if (slot == nullptr) return sys::SysError{ENOENT, "KVM_GET_DIRTY_LOG"};
  // Not cleared: the kernel writes all of it, or it is not looked at.
  log_.resize(static_cast<size_t>((slot->pages() + 63) / 64));
  kvm_dirty_log request = {};
  request.slot = id;
  // SAFETY: the kernel writes ALIGN(pages, 64) / 8 bytes; pages come from the slot that the kernel accepted from us,
  // whose size it never changes (a new size needs a deletion, which also goes through SetMemoryRegion).
  request.dirty_bitmap = log_.data();
  auto done = IoctlVoid(fd_.get(), KVM_GET_DIRTY_LOG, "KVM_GET_DIRTY_LOG", &request);
  if (!done.ok()) return done.error();
  return sys::OrBits(sink, first, log_.data(), slot->pages());
}

sys::Result<void> Vm::CreateIrqchip() { return IoctlVoid(fd_.get(), KVM_CREATE_IRQCHIP, "KVM_CREATE_IRQCHIP", 0); }

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

std::vector<uint32_t> Vm::Close() {
  std::vector<uint32_t> refused;
  if (!fd_.valid()) return refused;
  for (auto entry = slots_.begin(); entry != slots_.end();) {
    const uint32_t id = (entry++)->first;  // the deletion removes the entry
    Slot none = {};
    if (!SetMemoryRegion(id, none).ok()) refused.push_back(id);
  }
  slots_.clear();
  fd_.Reset();
  return refused;
}

}  // namespace kvm
