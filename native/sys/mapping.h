// One mmap'd range and its munmap. Any thread may create or destroy one; guest memory lives in these. Knows nothing of
// KVM.

#ifndef NODE_KVM_SYS_MAPPING_H_
#define NODE_KVM_SYS_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "sys/result.h"

namespace sys {

/** The host's base page size, bytes. */
size_t PageSize();

enum class MapKind { kAnonymous, kMemfd, kFile };
enum class HugePages { kNone, kTransparent, k2M, k1G };

struct MapSpec {
  /** Bytes, a multiple of the page size (of the huge page where one is asked for). */
  size_t size = 0;
  MapKind kind = MapKind::kAnonymous;
  HugePages huge_pages = HugePages::kNone;
  /** kFile only. */
  std::string path;
  bool shared = false;
  uint64_t file_offset = 0;
  /** Shown in /proc/self/maps. May be empty. */
  std::string name;
};

/** The page size that `size` must be a multiple of. */
size_t RequiredAlignment(HugePages huge_pages);

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { Unmap(); }

  /**
   * Maps zeroed memory (or a file) readable and writable. Nothing is committed: pages appear on first touch. From 2 MiB
   * on, the address is a multiple of 2 MiB, so that KVM and the kernel can use huge pages. Not inherited by fork().
   * EINVAL: a size or an offset that is not aligned, or huge pages with a file. ENXIO ("mmap"): the file is shorter
   * than file_offset + size, and touching what is beyond it would be a SIGBUS.
   */
  static Result<Mapping> Create(const MapSpec& spec);

  /** Maps `size` bytes of a descriptor from `offset` (page-aligned) on, MAP_SHARED. */
  static Result<Mapping> OfDescriptor(int fd, size_t size, uint64_t offset = 0);

  /**
   * Replaces the content by private zero pages at the same address: what was mapped is released now, while pointers
   * into the range stay usable by whoever still holds one.
   */
  Result<void> Detach();

  void* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  Mapping(void* data, size_t size) : data_(data), size_(size) {}
  void Unmap();

  void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sys

#endif  // NODE_KVM_SYS_MAPPING_H_
