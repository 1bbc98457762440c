// Enabling rings, emptying them under the lock, and the table that finds a VM's rings on its vCPUs' threads.

#include "kvm/dirty_rings.h"

#include <algorithm>
#include <cerrno>

#include "sys/blocked_signals.h"
#include "sys/checked_ioctl.h"

#ifndef KVM_CAP_DIRTY_LOG_RING_ACQ_REL
#define KVM_CAP_DIRTY_LOG_RING_ACQ_REL 223
#endif

namespace kvm {

using sys::Ioctl;
using sys::IoctlVoid;

namespace {

/** Calls of KVM_RESET_DIRTY_RINGS in a row that may reset nothing although something is there. */
constexpr int kFruitlessMax = 64;

// Process-wide: vCPUs are created on other threads, which get the VM as the number of its descriptor.
struct Registry {
  std::mutex mutex;
  std::map<int, std::weak_ptr<DirtyRings>> by_fd;
};

Registry& TheRegistry() {
  // Never destroyed: worker threads may still ask while the process's static objects are being destroyed.
  static Registry* const registry = new Registry;
  return *registry;
}

}  // namespace

sys::Result<std::shared_ptr<DirtyRings>> DirtyRings::Enable(int vm_fd, uint32_t entries) {
  auto vm = sys::UniqueFd::Dup(vm_fd);
  if (!vm.ok()) return vm.error();
  for (const uint32_t cap : {KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_DIRTY_LOG_RING}) {
    auto bytes = Ioctl(vm_fd, KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION", static_cast<unsigned long>(cap));
    if (!bytes.ok()) return bytes.error();
    if (bytes.value() == 0) continue;
    kvm_enable_cap request = {};
    request.cap = cap;
    request.args[0] = uint64_t{entries} * sizeof(kvm_dirty_gfn);
    auto enabled = IoctlVoid(vm_fd, KVM_ENABLE_CAP, "KVM_ENABLE_CAP", &request);
    if (!enabled.ok()) return enabled.error();
    auto rings = std::make_shared<DirtyRings>(std::move(vm.value()), entries);
    Registry& registry = TheRegistry();
    const std::lock_guard lock(registry.mutex);
    registry.by_fd[vm_fd] = rings;
    return rings;
  }
  return sys::SysError{ENOTSUP, "KVM_ENABLE_CAP"};
}

std::shared_ptr<DirtyRings> DirtyRings::Find(int vm_fd) {
  Registry& registry = TheRegistry();
  const std::lock_guard lock(registry.mutex);
  const auto found = registry.by_fd.find(vm_fd);
  return found == registry.by_fd.end() ? nullptr : found->second.lock();
}

void DirtyRings::Forget(int vm_fd) {
  Registry& registry = TheRegistry();
  const std::lock_guard lock(registry.mutex);
  registry.by_fd.erase(vm_fd);
}

sys::Result<void> DirtyRings::AddVcpu(uint32_t index, int vcpu_fd) {
  const size_t bytes = size_t{entries_} * sizeof(kvm_dirty_gfn);
  auto mapped = sys::Mapping::OfDescriptor(vcpu_fd, bytes, uint64_t{KVM_DIRTY_LOG_PAGE_OFFSET} * sys::PageSize());
  if (!mapped.ok()) return mapped.error();
  auto* entries = static_cast<kvm_dirty_gfn*>(mapped.value().data());
  const std::lock_guard lock(mutex_);
  // SAFETY: the mapping has entries_ entries, and is unmapped with the ring, under the lock.
  rings_.insert_or_assign(index, VcpuRing{std::move(mapped.value()), DirtyRing(entries, entries_), {}, 0, true});
  return {};
}

void DirtyRings::RemoveVcpu(uint32_t index) {
  const std::lock_guard lock(mutex_);
  const auto found = rings_.find(index);
  if (found == rings_.end() || !found->second.mapped) return;
  // Not reset: the next Collect() does it, since the kernel's side of the ring lives as long as the VM.
  Take(index, found->second);
  found->second.mapped = false;
  found->second.mapping = sys::Mapping();
}

void DirtyRings::AddSlot(uint32_t id, uint64_t pages) {
  const std::lock_guard lock(mutex_);
  slots_.erase(id);
  TakeAll();
  slots_.emplace(id, GatheredPages(pages));
}

void DirtyRings::RemoveSlot(uint32_t id) {
  const std::lock_guard lock(mutex_);
  slots_.erase(id);
  TakeAll();
}

uint64_t DirtyRings::Take(uint32_t index, VcpuRing& ring) {
  if (!ring.mapped) return 0;
  const auto writer = static_cast<uint16_t>(kVcpuWriter | index);
  bool lost = false;
  const uint32_t taken = ring.ring.Take([&](uint32_t slot, uint64_t offset) {
    // A slot that is gone, or does not log any more, has no pages to be dirty.
    const auto found = slots_.find(slot);
    if (found != slots_.end() && !found->second.Add(offset, writer)) lost = true;
  });
  ring.counters.entries += taken;
  ring.unreset += taken;
  unreset_ += taken;
  // KVM leaves KVM_RUN with room to spare: a ring that was ever entirely full may have been fuller.
  if (lost || (taken > 0 && ring.unreset >= ring.ring.size())) {
    ++ring.counters.overflows;
    for (auto& [id, pages] : slots_) pages.AddAllForGood();
  }
  return taken;
}

uint64_t DirtyRings::TakeAll() {
  uint64_t taken = 0;
  for (auto& [index, ring] : rings_) taken += Take(index, ring);
  return taken;
}

sys::Result<void> DirtyRings::Reset() {
  if (unreset_ == 0) return {};
  // From Linux 6.16 on a pending signal ends the call early, and then pages whose entries it had counted may stay
  // writable unnoticed.
  const sys::BlockedSignals blocked;
  // It returns how many entries it has reset, and may stop early.
  for (int fruitless = 0; unreset_ > 0;) {
    auto done = Ioctl(vm_.get(), KVM_RESET_DIRTY_RINGS, "KVM_RESET_DIRTY_RINGS", 0);
    if (!done.ok()) return done.error();
    unreset_ -= std::min(unreset_, static_cast<uint64_t>(done.value()));
    // Not a success: pages of entries that are not reset are written without notice.
    if (done.value() == 0 && ++fruitless == kFruitlessMax) return sys::SysError{EAGAIN, "KVM_RESET_DIRTY_RINGS"};
  }
  for (auto& [index, ring] : rings_) ring.unreset = 0;
  return {};
}

sys::Result<uint64_t> DirtyRings::Collect() {
  const std::lock_guard lock(mutex_);
  const uint64_t taken = TakeAll();
  auto reset = Reset();
  if (!reset.ok()) return reset.error();
  return taken;
}

sys::Result<uint64_t> DirtyRings::EmptyFull(uint32_t index) {
  const std::lock_guard lock(mutex_);
  const auto found = rings_.find(index);
  if (found == rings_.end()) return uint64_t{0};
  ++found->second.counters.full_exits;
  const uint64_t taken = Take(index, found->second);
  auto reset = Reset();
  if (!reset.ok()) return reset.error();
  return taken;
}

sys::Result<size_t> DirtyRings::MoveSlot(uint32_t id, const sys::PageSink& sink, uint64_t first) {
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(id);
  if (found == slots_.end()) return sys::SysError{ENOENT, "KVM_RESET_DIRTY_RINGS"};
  // A vCPU that was closed since the last Collect() has left entries that are taken and not reset: other vCPUs still
  // write to their pages without notice.
  auto reset = Reset();
  if (!reset.ok()) return reset.error();
  return found->second.MoveTo(sink, first);
}

RingCounters DirtyRings::Counters(uint32_t index) {
  const std::lock_guard lock(mutex_);
  const auto found = rings_.find(index);
  return found == rings_.end() ? RingCounters{} : found->second.counters;
}

}  // namespace kvm
