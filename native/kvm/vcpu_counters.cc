// Reading the self-describing file behind KVM_GET_STATS_FD: a header, a descriptor per counter, and the numbers.

#include "kvm/vcpu_counters.h"

#include <unistd.h>

#include <cstring>
#include <vector>

#include "kvm/abi.h"
#include "sys/checked_ioctl.h"

namespace kvm {

static_assert(sizeof(kvm_stats_header) == 24 && sizeof(kvm_stats_desc) == 16);

namespace {

/** All of [offset, offset + size). EIO where the file ends before. */
sys::Result<void> ReadAll(int fd, void* into, size_t size, uint64_t offset) {
  const ssize_t done = pread(fd, into, size, static_cast<off_t>(offset));
  if (done < 0) return sys::LastError("pread");
  if (static_cast<size_t>(done) != size) return sys::SysError{EIO, "pread"};
  return {};
}

}  // namespace

sys::Result<VcpuCounters> VcpuCounters::Open(int vcpu_fd) {
  auto opened = sys::Ioctl(vcpu_fd, KVM_GET_STATS_FD, "KVM_GET_STATS_FD", 0);
  if (!opened.ok()) return opened.error();
  sys::UniqueFd fd(opened.value());
  kvm_stats_header header;
  if (auto read = ReadAll(fd.get(), &header, sizeof(header), 0); !read.ok()) return read.error();
  // The kernel's own numbers, but a buffer is made from them.
  if (header.name_size > 256 || header.num_desc > 4096) return sys::SysError{EIO, "KVM_GET_STATS_FD"};
  const size_t stride = sizeof(kvm_stats_desc) + header.name_size;
  std::vector<char> bytes(stride * header.num_desc);
  if (auto read = ReadAll(fd.get(), bytes.data(), bytes.size(), header.desc_offset); !read.ok()) return read.error();
  std::map<std::string, uint64_t> offsets;
  for (size_t at = 0; at < bytes.size(); at += stride) {
    kvm_stats_desc descriptor;
    memcpy(&descriptor, bytes.data() + at, sizeof(descriptor));
    const char* name = bytes.data() + at + sizeof(descriptor);
    // More than one number: a histogram.
    if (descriptor.size == 1)
      offsets.emplace(std::string(name, strnlen(name, header.name_size)), header.data_offset + descriptor.offset);
  }
  return VcpuCounters(std::move(fd), std::move(offsets));
}

sys::Result<std::optional<uint64_t>> VcpuCounters::Read(const std::string& name) const {
  std::optional<uint64_t> value;
  const auto found = offsets_.find(name);
  if (found == offsets_.end()) return value;
  uint64_t number = 0;
  if (auto read = ReadAll(fd_.get(), &number, sizeof(number), found->second); !read.ok()) return read.error();
  value = number;
  return value;
}

}  // namespace kvm
