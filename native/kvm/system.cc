// The ioctls of /dev/kvm.

#include "kvm/system.h"

#include <cstring>

#include "kvm/abi.h"
#include "kvm/flex_array.h"
#include "kvm/vcpu.h"
#include "sys/checked_ioctl.h"

namespace kvm {

using sys::Ioctl;
using sys::IoctlVoid;

namespace {

// Both lists are asked for with room for `count` entries; E2BIG means: more. The kernel's own limits are far below the
// last.
constexpr uint32_t kFirstCount = 256;
constexpr uint32_t kLastCount = 16384;

}  // namespace

sys::Result<System> System::Open(const char* path) {
  auto fd = sys::UniqueFd::Open(path, O_RDWR);
  if (!fd.ok()) return fd.error();
  return System(std::move(fd.value()));
}

sys::Result<int> System::ApiVersion() const { return Ioctl(fd_.get(), KVM_GET_API_VERSION, "KVM_GET_API_VERSION", 0); }

sys::Result<int> System::CheckExtension(uint32_t cap) const {
  return Ioctl(fd_.get(), KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION", static_cast<unsigned long>(cap));
}

sys::Result<int> System::VcpuMmapSize() const {
  return Ioctl(fd_.get(), KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE", 0);
}

sys::Result<std::vector<uint8_t>> System::SupportedCpuid() const {
  for (uint32_t count = kFirstCount;; count *= 2) {
    FlexArray<kvm_cpuid2, kvm_cpuid_entry2> list(count);
    list.header()->nent = count;
    auto done = IoctlVoid(fd_.get(), KVM_GET_SUPPORTED_CPUID, "KVM_GET_SUPPORTED_CPUID", list.header());
    if (done.ok()) {
      std::vector<uint8_t> bytes(list.header()->nent * sizeof(kvm_cpuid_entry2));
      memcpy(bytes.data(), list.entries(), bytes.size());
      return bytes;
    }
    if (done.error().errnum != E2BIG || count >= kLastCount) return done.error();
  }
}

sys::Result<std::vector<uint32_t>> System::MsrIndexList() const {
  for (uint32_t count = kFirstCount;; count *= 2) {
    FlexArray<kvm_msr_list, uint32_t> list(count);
    list.header()->nmsrs = count;
    auto done = IoctlVoid(fd_.get(), KVM_GET_MSR_INDEX_LIST, "KVM_GET_MSR_INDEX_LIST", list.header());
    if (done.ok()) return std::vector<uint32_t>(list.entries(), list.entries() + list.header()->nmsrs);
    if (done.error().errnum != E2BIG || count >= kLastCount) return done.error();
  }
}

sys::Result<Vm> System::CreateVm() const {
  // vCPUs are created on other threads, which have no descriptor of /dev/kvm: they rely on what is checked here.
  auto mmap_size = VcpuMmapSize();
  if (!mmap_size.ok()) return mmap_size.error();
  if (static_cast<size_t>(mmap_size.value()) < Vcpu::kRunMappingSize)
    return sys::SysError{ENOTSUP, "KVM_GET_VCPU_MMAP_SIZE"};
  auto fd = Ioctl(fd_.get(), KVM_CREATE_VM, "KVM_CREATE_VM", 0);
  if (!fd.ok()) return fd.error();
  return Vm(sys::UniqueFd(fd.value()));
}

}  // namespace kvm
