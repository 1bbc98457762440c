// How memory is mapped: reserve aligned address space, map over it, release what is left. Linux only.

#include "sys/mapping.h"

#include <linux/memfd.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/unique_fd.h"

// Names of anonymous memory: Linux 5.17. The number is ABI; older headers lack it.
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

namespace sys {
namespace {

constexpr size_t k2MiB = size_t{2} << 20;
constexpr size_t k1GiB = size_t{1} << 30;

int MmapHugeFlags(HugePages huge_pages) {
  if (huge_pages == HugePages::k2M) return MAP_HUGETLB | MAP_HUGE_2MB;
  if (huge_pages == HugePages::k1G) return MAP_HUGETLB | MAP_HUGE_1GB;
  return 0;
}

/** A descriptor to map, and the flags to map it with. */
struct Source {
  UniqueFd fd;
  int flags;
  off_t offset;
};

Result<Source> OpenMemfd(const MapSpec& spec) {
  unsigned flags = MFD_CLOEXEC;
  if (spec.huge_pages == HugePages::k2M) flags |= MFD_HUGETLB | MFD_HUGE_2MB;
  if (spec.huge_pages == HugePages::k1G) flags |= MFD_HUGETLB | MFD_HUGE_1GB;
  UniqueFd fd(memfd_create(spec.name.empty() ? "guest-memory" : spec.name.c_str(), flags));
  if (!fd.valid()) return LastError("memfd_create");
  if (ftruncate(fd.get(), static_cast<off_t>(spec.size)) != 0) return LastError("ftruncate");
  return Source{std::move(fd), MAP_SHARED, 0};
}

Result<Source> OpenFile(const MapSpec& spec) {
  if (spec.huge_pages == HugePages::k2M || spec.huge_pages == HugePages::k1G) return SysError{EINVAL, "mmap"};
  // O_NONBLOCK: a FIFO at that path must be refused below, not waited for. It has no effect on regular files.
  auto fd = UniqueFd::Open(spec.path.c_str(), (spec.shared ? O_RDWR : O_RDONLY) | O_NONBLOCK);
  if (!fd.ok()) return fd.error();
  struct stat status;
  if (fstat(fd.value().get(), &status) != 0) return LastError("fstat");
  if (!S_ISREG(status.st_mode)) return SysError{ENODEV, "mmap"};
  // The last page may lie partly behind the end of the file: the kernel fills it with zeros. Pages wholly behind it are
  // SIGBUS.
  const uint64_t page = PageSize();
  const uint64_t usable = (static_cast<uint64_t>(status.st_size) + page - 1) / page * page;
  if (spec.file_offset > usable || spec.size > usable - spec.file_offset) return SysError{ENXIO, "mmap"};
  return Source{std::move(fd.value()), spec.shared ? MAP_SHARED : MAP_PRIVATE, static_cast<off_t>(spec.file_offset)};
}

Result<Source> OpenSource(const MapSpec& spec) {
  switch (spec.kind) {
    case MapKind::kMemfd:
      return OpenMemfd(spec);
    case MapKind::kFile:
      return OpenFile(spec);
    case MapKind::kAnonymous:
      break;
  }
  return Source{UniqueFd(), MAP_PRIVATE | MAP_ANONYMOUS | MmapHugeFlags(spec.huge_pages), 0};
}

/** Address space of `size` bytes at a multiple of `alignment`, mapped to nothing. */
Result<void*> Reserve(size_t size, size_t alignment) {
  const size_t total = size + alignment;
  if (total < size) return SysError{ENOMEM, "mmap"};
  void* raw = mmap(nullptr, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return LastError("mmap");
  const auto start = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = (start + alignment - 1) / alignment * alignment;
  // SAFETY: both pieces lie in the range that was just reserved and that nobody else knows of.
  if (aligned > start) munmap(raw, aligned - start);
  const uintptr_t end = aligned + size;
  if (start + total > end) munmap(reinterpret_cast<void*>(end), start + total - end);
  return reinterpret_cast<void*>(aligned);
}

}  // namespace

size_t PageSize() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

size_t RequiredAlignment(HugePages huge_pages) {
  if (huge_pages == HugePages::k2M) return k2MiB;
  if (huge_pages == HugePages::k1G) return k1GiB;
  return PageSize();
}

Result<Mapping> Mapping::Create(const MapSpec& spec) {
  const size_t unit = RequiredAlignment(spec.huge_pages);
  if (spec.size == 0 || spec.size % unit != 0 || spec.file_offset % PageSize() != 0) return SysError{EINVAL, "mmap"};
  auto source = OpenSource(spec);
  if (!source.ok()) return source.error();
  const size_t alignment = spec.size >= k2MiB && unit < k2MiB ? k2MiB : unit;
  auto reserved = Reserve(spec.size, alignment);
  if (!reserved.ok()) return reserved.error();
  Mapping mapping(reserved.value(), spec.size);

  // Huge pages from the kernel's pool are reserved now: without a reservation a missing one is a SIGBUS at first touch.
  const bool pooled = spec.huge_pages == HugePages::k2M || spec.huge_pages == HugePages::k1G;
  const int flags = source.value().flags | MAP_FIXED | (pooled ? 0 : MAP_NORESERVE);
  // SAFETY: MAP_FIXED replaces exactly the reservation that `mapping` owns.
  void* data =
      mmap(mapping.data_, spec.size, PROT_READ | PROT_WRITE, flags, source.value().fd.get(), source.value().offset);
  if (data == MAP_FAILED) return LastError("mmap");

  // A forked child (child_process) has no use for guest memory; copying its page tables would stall the parent.
  if (madvise(data, spec.size, MADV_DONTFORK) != 0) return LastError("madvise");
  if (spec.huge_pages == HugePages::kTransparent && madvise(data, spec.size, MADV_HUGEPAGE) != 0)
    return LastError("madvise");
  if (spec.kind == MapKind::kAnonymous && !spec.name.empty()) {
    // A label for people; kernels without the feature answer EINVAL and nothing is lost.
    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, data, spec.size, spec.name.c_str());
  }
  return mapping;
}

Result<Mapping> Mapping::OfDescriptor(int fd, size_t size, uint64_t offset) {
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset));
  if (data == MAP_FAILED) return LastError("mmap");
  return Mapping(data, size);
}

Result<void> Mapping::Detach() {
  // SAFETY: MAP_FIXED over our own range, which stays ours. The replacement is atomic for other threads: they see the
  // old page or the new one, never a hole.
  if (mmap(data_, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
    return LastError("mmap");
  }
  return {};
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    Unmap();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void Mapping::Unmap() {
  if (data_ != nullptr) munmap(data_, size_);
  data_ = nullptr;
  size_ = 0;
}

}  // namespace sys
