// KVM's own counters of a vCPU (KVM_GET_STATS_FD, Linux >= 5.14): read by name, on any thread, while the vCPU runs.
// Keeps the kernel's VM alive while it is open. Documentation: virt/kvm/api.rst, 4.133.

#ifndef NODE_KVM_KVM_VCPU_COUNTERS_H_
#define NODE_KVM_KVM_VCPU_COUNTERS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "sys/result.h"
#include "sys/unique_fd.h"

namespace kvm {

class VcpuCounters {
 public:
  /** On any thread, but blocks while the vCPU is in KVM_RUN. ENOTTY: the descriptor is no vCPU's, or this kernel has no
   * counters. */
  static sys::Result<VcpuCounters> Open(int vcpu_fd);

  bool open() const { return fd_.valid(); }
  /** The counter's value; none where this KVM has no single number by that name. Does not block. */
  sys::Result<std::optional<uint64_t>> Read(const std::string& name) const;
  void Close() { fd_.Reset(); }

 private:
  VcpuCounters(sys::UniqueFd fd, std::map<std::string, uint64_t> offsets)
      : fd_(std::move(fd)), offsets_(std::move(offsets)) {}

  sys::UniqueFd fd_;
  /** By name: where in the file the number is. */
  std::map<std::string, uint64_t> offsets_;
};

}  // namespace kvm

#endif  // NODE_KVM_KVM_VCPU_COUNTERS_H_
