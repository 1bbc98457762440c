// /dev/kvm itself: what this host's KVM is and can do, and new VMs. Any thread, one at a time.

#ifndef NODE_KVM_KVM_SYSTEM_H_
#define NODE_KVM_KVM_SYSTEM_H_

#include <cstdint>
#include <vector>

#include "kvm/vm.h"
#include "sys/result.h"
#include "sys/unique_fd.h"

namespace kvm {

class System {
 public:
  /** open(path, O_RDWR). Whether it is a KVM shows in the first call. */
  static sys::Result<System> Open(const char* path);

  /** KVM_GET_API_VERSION. */
  sys::Result<int> ApiVersion() const;
  /** KVM_CHECK_EXTENSION: 0 = not there; what else it means depends on the capability. */
  sys::Result<int> CheckExtension(uint32_t cap) const;
  /** KVM_GET_VCPU_MMAP_SIZE, bytes. */
  sys::Result<int> VcpuMmapSize() const;
  /** KVM_GET_SUPPORTED_CPUID: the bytes of struct kvm_cpuid_entry2[]. */
  sys::Result<std::vector<uint8_t>> SupportedCpuid() const;
  /** KVM_GET_MSR_INDEX_LIST. */
  sys::Result<std::vector<uint32_t>> MsrIndexList() const;
  /** KVM_CREATE_VM. */
  sys::Result<Vm> CreateVm() const;

 private:
  explicit System(sys::UniqueFd fd) : fd_(std::move(fd)) {}
  sys::UniqueFd fd_;
};

}  // namespace kvm

#endif  // NODE_KVM_KVM_SYSTEM_H_
