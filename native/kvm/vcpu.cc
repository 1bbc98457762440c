// The ioctls of a vCPU's descriptor. Run() is the hot path: two clock readings, one ioctl, a few plain stores.

#include "kvm/vcpu.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kvm/abi.h"
#include "kvm/flex_array.h"
#include "kvm/vm.h"
#include "sys/checked_ioctl.h"
#include "sys/clock.h"

namespace kvm {

using sys::Ioctl;
using sys::IoctlVoid;

static_assert(Vcpu::kRunMappingSize == (KVM_COALESCED_MMIO_PAGE_OFFSET + 1) * 4096);
static_assert(KVM_PIO_PAGE_OFFSET < KVM_COALESCED_MMIO_PAGE_OFFSET && sizeof(kvm_run) <= 4096);
static_assert(Vcpu::kCpuidEntrySize == sizeof(kvm_cpuid_entry2));
static_assert(Vcpu::kGuestDebugSize == sizeof(kvm_guest_debug));
// TypeScript reaches these bytes through the generated offsets; the kernel's ABI fixes them.
static_assert(offsetof(kvm_run, immediate_exit) == 1 && offsetof(kvm_run, exit_reason) == 8 &&
              offsetof(kvm_run, io) == 32);

namespace {

struct StateCalls {
  size_t size;
  unsigned long get;
  unsigned long set;
  const char* get_name;
  const char* set_name;
};

const StateCalls& CallsOf(VcpuState state) {
  // In the order of VcpuState.
  static constexpr StateCalls kCalls[] = {
      {sizeof(kvm_regs), KVM_GET_REGS, KVM_SET_REGS, "KVM_GET_REGS", "KVM_SET_REGS"},
      {sizeof(kvm_sregs), KVM_GET_SREGS, KVM_SET_SREGS, "KVM_GET_SREGS", "KVM_SET_SREGS"},
      {sizeof(kvm_fpu), KVM_GET_FPU, KVM_SET_FPU, "KVM_GET_FPU", "KVM_SET_FPU"},
      {sizeof(kvm_xsave), KVM_GET_XSAVE, KVM_SET_XSAVE, "KVM_GET_XSAVE", "KVM_SET_XSAVE"},
      {sizeof(kvm_xcrs), KVM_GET_XCRS, KVM_SET_XCRS, "KVM_GET_XCRS", "KVM_SET_XCRS"},
      {sizeof(kvm_debugregs), KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, "KVM_GET_DEBUGREGS", "KVM_SET_DEBUGREGS"},
      {sizeof(kvm_vcpu_events), KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS", "KVM_SET_VCPU_EVENTS"},
      {sizeof(kvm_mp_state), KVM_GET_MP_STATE, KVM_SET_MP_STATE, "KVM_GET_MP_STATE", "KVM_SET_MP_STATE"},
      {sizeof(kvm_lapic_state), KVM_GET_LAPIC, KVM_SET_LAPIC, "KVM_GET_LAPIC", "KVM_SET_LAPIC"},
  };
  static_assert(std::ranges::all_of(kCalls, [](const StateCalls& calls) { return calls.size <= kMaxStateSize; }));
  return kCalls[static_cast<size_t>(state)];
}

// Statistics have one writer. Relaxed atomic stores cost a plain store and keep every word whole for readers on other
// threads.
void Add(uint64_t& word, uint64_t amount) { __atomic_store_n(&word, word + amount, __ATOMIC_RELAXED); }

}  // namespace

size_t StateSize(VcpuState state) { return CallsOf(state).size; }

Vcpu::Vcpu(sys::UniqueFd fd, uint32_t index, std::shared_ptr<sys::Mapping> mapping, std::shared_ptr<DirtyRings> rings,
           VcpuStats* stats)
    : fd_(std::move(fd)),
      mapping_(std::move(mapping)),
      rings_(std::move(rings)),
      run_(static_cast<kvm_run*>(mapping_->data())),
      stats_(stats),
      index_(index) {}

sys::Result<Vcpu> Vcpu::Create(int vm_fd, uint32_t index, VcpuStats* stats) {
  // Our own descriptor while we use it: the number may be closed and reused by another thread between two calls.
  auto vm = DupVmFd(vm_fd);
  if (!vm.ok()) return vm.error();
  auto created = Ioctl(vm.value().get(), KVM_CREATE_VCPU, "KVM_CREATE_VCPU", static_cast<unsigned long>(index));
  if (!created.ok()) return created.error();
  sys::UniqueFd fd(created.value());
  auto mapping = sys::Mapping::OfDescriptor(fd.get(), kRunMappingSize);
  if (!mapping.ok()) return mapping.error();
  auto rings = DirtyRings::Find(vm_fd);
  if (rings != nullptr) {
    auto added = rings->AddVcpu(index, fd.get());
    if (!added.ok()) return added.error();
  }
  return Vcpu(std::move(fd), index, std::make_shared<sys::Mapping>(std::move(mapping.value())), std::move(rings),
              stats);
}

int Vcpu::Run() {
  const uint64_t entry = sys::MonotonicNs();
  if (last_return_ns_ == 0) {
    __atomic_store_n(&stats_->first_entry_ns, entry, __ATOMIC_RELAXED);
    // Whoever leaves the run loop for a while zeroes the word, and the pause is not counted as handling.
  } else if (__atomic_load_n(&stats_->last_return_ns, __ATOMIC_RELAXED) == last_return_ns_) {
    const uint64_t outside = entry - last_return_ns_;
    Add(stats_->outside_ns, outside);
    if (last_was_exit_) {
      const size_t bucket = static_cast<size_t>(std::bit_width(outside | 1)) - 1;
      Add(stats_->handling_histogram[std::min(bucket, kHandlingBuckets - 1)], 1);
    }
  }

  const int result = ioctl(fd_.get(), KVM_RUN, 0);
  const int errnum = errno;

  last_return_ns_ = sys::MonotonicNs();
  __atomic_store_n(&stats_->last_return_ns, last_return_ns_, __ATOMIC_RELAXED);
  Add(stats_->guest_ns, last_return_ns_ - entry);
  last_was_exit_ = result >= 0;
  if (result >= 0) {
    Add(stats_->exits, 1);
    Add(stats_->exits_by_reason[std::min<size_t>(run_->exit_reason, kExitReasonSlots - 1)], 1);
    if (run_->exit_reason == KVM_EXIT_DIRTY_RING_FULL && rings_ != nullptr) [[unlikely]]
      return EmptyRing();
    return 0;
  }
  if (errnum == EINTR || errnum == EAGAIN) {
    Add(stats_->interrupted, 1);
    ClearImmediateExit();
  } else {
    failed_call_ = "KVM_RUN";
  }
  return -errnum;
}

int Vcpu::RunToPort(uint16_t port, sys::ExitWords* exits, uint32_t* bell) {
  for (;;) {
    if (ioctl(fd_.get(), KVM_RUN, 0) < 0) {
      const int errnum = errno;
      if (errnum == EINTR || errnum == EAGAIN) ClearImmediateExit();
      return -errnum;
    }
    switch (run_->exit_reason) {
      case KVM_EXIT_IO:
        if (run_->io.direction == KVM_EXIT_IO_IN) return run_->io.port == port ? 0 : KVM_EXIT_IO;
        break;
      case KVM_EXIT_MMIO:
        if (run_->mmio.is_write == 0) return KVM_EXIT_MMIO;
        break;
      case KVM_EXIT_DIRTY_RING_FULL:
        return rings_ == nullptr ? KVM_EXIT_DIRTY_RING_FULL : EmptyRing();
      case KVM_EXIT_UNKNOWN:
        return KVM_EXIT_INTERNAL_ERROR;
      default:
        return static_cast<int>(run_->exit_reason);
    }
    if (bell != nullptr) {
      if (!sys::HandOver(exits, bell)) return -ETIMEDOUT;
      continue;
    }
    // One writer, this thread; read by others when it has come to the port.
    __atomic_store_n(&exits->handled, exits->handled + 1, __ATOMIC_RELAXED);
  }
}

void Vcpu::ClearImmediateExit() {
  // Sequentially consistent, which is a full barrier on x86: the caller's next load of its request word must not be
  // satisfied before this store is visible. With a plain store, a kicker that stores a request and sets
  // immediate_exit in between would have its 1 overwritten by our late 0 although its request had not been seen, and
  // the kick would be lost.
  __atomic_store_n(&run_->immediate_exit, uint8_t{0}, __ATOMIC_SEQ_CST);
}

int Vcpu::EmptyRing() {
  auto emptied = rings_->EmptyFull(index_);
  if (!emptied.ok()) {
    failed_call_ = emptied.error().syscall;
    return -emptied.error().errnum;
  }
  // As after a kick: whoever waits for this thread to see a request word gets it seen before the guest goes on.
  ClearImmediateExit();
  return -EINTR;
}

sys::Result<void> Vcpu::GetState(VcpuState state, void* into) const {
  const StateCalls& calls = CallsOf(state);
  return IoctlVoid(fd_.get(), calls.get, calls.get_name, into);
}

sys::Result<void> Vcpu::SetState(VcpuState state, const void* from) {
  const StateCalls& calls = CallsOf(state);
  return IoctlVoid(fd_.get(), calls.set, calls.set_name, from);
}

sys::Result<MsrOutcome> Vcpu::GetMsrs(std::span<const uint32_t> indices, std::span<uint64_t> values) const {
  FlexArray<kvm_msrs, kvm_msr_entry> list(indices.size());
  list.header()->nmsrs = static_cast<uint32_t>(indices.size());
  for (size_t i = 0; i < indices.size(); ++i) list.entries()[i].index = indices[i];
  auto done = Ioctl(fd_.get(), KVM_GET_MSRS, "KVM_GET_MSRS", list.header());
  if (!done.ok()) return done.error();
  const auto count = static_cast<size_t>(done.value());
  if (count < indices.size()) return MsrOutcome{indices[count]};
  for (size_t i = 0; i < count; ++i) values[i] = list.entries()[i].data;
  return MsrOutcome{};
}

sys::Result<MsrOutcome> Vcpu::SetMsrs(std::span<const uint32_t> indices, std::span<const uint64_t> values) {
  FlexArray<kvm_msrs, kvm_msr_entry> list(indices.size());
  list.header()->nmsrs = static_cast<uint32_t>(indices.size());
  for (size_t i = 0; i < indices.size(); ++i) {
    list.entries()[i].index = indices[i];
    list.entries()[i].data = values[i];
  }
  auto done = Ioctl(fd_.get(), KVM_SET_MSRS, "KVM_SET_MSRS", list.header());
  if (!done.ok()) return done.error();
  const auto count = static_cast<size_t>(done.value());
  if (count < indices.size()) return MsrOutcome{indices[count]};
  return MsrOutcome{};
}

sys::Result<void> Vcpu::SetCpuid(std::span<const uint8_t> entries) {
  const size_t count = entries.size() / sizeof(kvm_cpuid_entry2);
  FlexArray<kvm_cpuid2, kvm_cpuid_entry2> list(count);
  list.header()->nent = static_cast<uint32_t>(count);
  memcpy(list.entries(), entries.data(), count * sizeof(kvm_cpuid_entry2));
  return IoctlVoid(fd_.get(), KVM_SET_CPUID2, "KVM_SET_CPUID2", list.header());
}

sys::Result<void> Vcpu::SetGuestDebug(const void* from) {
  return IoctlVoid(fd_.get(), KVM_SET_GUEST_DEBUG, "KVM_SET_GUEST_DEBUG", from);
}

sys::Result<std::optional<uint64_t>> Vcpu::Translate(uint64_t linear) const {
  kvm_translation request = {};
  request.linear_address = linear;
  auto done = IoctlVoid(fd_.get(), KVM_TRANSLATE, "KVM_TRANSLATE", &request);
  if (!done.ok()) return done.error();
  std::optional<uint64_t> physical;
  if (request.valid != 0) physical = request.physical_address;
  return physical;
}

sys::Result<void> Vcpu::Interrupt(uint32_t vector) {
  kvm_interrupt request = {};
  request.irq = vector;
  return IoctlVoid(fd_.get(), KVM_INTERRUPT, "KVM_INTERRUPT", &request);
}

sys::Result<void> Vcpu::Nmi() { return IoctlVoid(fd_.get(), KVM_NMI, "KVM_NMI", 0); }

void Vcpu::Close() {
  if (!fd_.valid()) return;
  if (rings_ != nullptr) rings_->RemoveVcpu(index_);
  rings_.reset();
  // When the kernel has no memory for this, the pages stay mapped until their last user drops them: later, but not
  // wrong.
  if (auto detached = mapping_->Detach(); !detached.ok()) {
  }
  fd_.Reset();
}

}  // namespace kvm
