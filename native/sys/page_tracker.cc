// The calls of a page tracker, and the part of the kernel's ABI that older headers lack.

#include "sys/page_tracker.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>

#include "sys/checked_ioctl.h"
#include "sys/proc_maps.h"

// Source: include/uapi/linux/userfaultfd.h.
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

namespace sys {
namespace {

// Source: include/uapi/linux/fs.h (struct page_region, struct pm_scan_arg, PAGEMAP_SCAN).
struct ScanArgument {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;
  uint64_t vec;
  uint64_t vec_len;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
static_assert(sizeof(PageRegion) == 24 && sizeof(ScanArgument) == 96);
static_assert(sizeof(uffdio_api) == 24 && sizeof(uffdio_register) == 32 && sizeof(uffdio_range) == 16);

constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArgument);
constexpr uint64_t kWriteProtectMatching = 1 << 0;
constexpr uint64_t kCheckWriteProtectAsync = 1 << 1;
constexpr uint64_t kPageIsWritten = 1 << 1;

// A quarter of the runs that a chunk can have at most; where there are more, another call goes on.
constexpr size_t kRegions = 2048;

/**
 * A call scans at most this much, to a multiple of it. The kernel holds the process's memory map for a call, and has
 * KVM drop the guest's view of the range that was asked for, once more each time that its own buffer of runs is full:
 * shorter ranges keep both short.
 */
constexpr uint64_t kChunk = uint64_t{64} << 20;

/**
 * Has shared memory mapped by small pages. A page cache's huge page is mapped as one, is then tracked as one, and, when
 * reclaim unmaps it, leaves a hole in the page table that a scan takes for clean, written or not. (Small pages leave an
 * entry that counts as written.) Private memory has no such pages that could be written.
 */
Result<void> MapBySmallPages(uint64_t address, uint64_t size) {
  auto shared = IsShared(address);
  if (!shared.ok()) return shared.error();
  if (!shared.value()) return {};
  auto* memory = reinterpret_cast<void*>(address);
  // hugetlbfs refuses: it has no other pages, and never unmaps one behind our back.
  if (madvise(memory, size, MADV_NOHUGEPAGE) != 0) return {};
  // SAFETY: drops the entries of the page table only; what is in shared memory stays there.
  if (madvise(memory, size, MADV_DONTNEED) != 0) return LastError("madvise");
  return {};
}

}  // namespace

PageTracker::PageTracker(UniqueFd userfault, UniqueFd pagemap)
    : userfault_(std::move(userfault)), pagemap_(std::move(pagemap)), regions_(new PageRegion[kRegions]()) {}

Result<PageTracker> PageTracker::Open() {
  if (const int fault = TakeFault("userfaultfd"); fault != 0) return SysError{fault, "userfaultfd"};
  // User mode only: what needs a privilege are faults that wait for us in the kernel, and asynchronous mode has none.
  UniqueFd userfault(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY)));
  if (!userfault.valid()) return LastError("userfaultfd");
  uffdio_api api = {};
  api.api = UFFD_API;
  api.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED |
                 UFFD_FEATURE_WP_ASYNC;
  auto agreed = IoctlVoid(userfault.get(), UFFDIO_API, "UFFDIO_API", &api);
  if (!agreed.ok()) return agreed.error();
  auto pagemap = UniqueFd::Open("/proc/self/pagemap", O_RDONLY);
  if (!pagemap.ok()) return pagemap.error();
  return PageTracker(std::move(userfault), std::move(pagemap.value()));
}

Result<void> PageTracker::Register(uint64_t address, uint64_t size) {
  uffdio_register request = {};
  request.range = {address, size};
  request.mode = UFFDIO_REGISTER_MODE_WP;
  auto registered = IoctlVoid(userfault_.get(), UFFDIO_REGISTER, "UFFDIO_REGISTER", &request);
  if (!registered.ok()) return registered;
  auto protect = MapBySmallPages(address, size);
  if (protect.ok()) protect = ScanRuns(address, size, [](uint64_t, uint64_t) {});
  if (protect.ok()) return protect;
  // Even if this fails too, nothing is wrong: writes are noted that nobody asks for, until the next Register() or
  // Close().
  if (auto undone = Unregister(address, size); !undone.ok()) {
  }
  return protect;
}

Result<void> PageTracker::Unregister(uint64_t address, uint64_t size) {
  uffdio_range range = {address, size};
  return IoctlVoid(userfault_.get(), UFFDIO_UNREGISTER, "UFFDIO_UNREGISTER", &range);
}

template <typename Found>
Result<void> PageTracker::ScanRuns(uint64_t address, uint64_t size, Found found) {
  const uint64_t end = address + size;
  uint64_t chunk = kChunk;
  for (uint64_t at = address; at < end;) {
    ScanArgument argument = {};
    argument.size = sizeof(argument);
    argument.flags = kWriteProtectMatching | kCheckWriteProtectAsync;
    argument.start = at;
    argument.end = std::min(end, (at / chunk + 1) * chunk);
    argument.vec = reinterpret_cast<uintptr_t>(regions_.get());
    argument.vec_len = kRegions;
    argument.category_mask = kPageIsWritten;
    argument.return_mask = kPageIsWritten;
    // SAFETY: the kernel writes at most vec_len entries, and we own as many.
    auto done = IoctlOnce(pagemap_.get(), kPagemapScan, "PAGEMAP_SCAN", &argument);
    // What is in the vector was protected again, so it has to be reported now, even when the call failed further on: it
    // then does not say how many entries it wrote, but entries come in order, and those it did not write are zero.
    for (size_t i = 0; i < kRegions && regions_[i].end != 0; ++i) {
      found(std::max(regions_[i].start, address), std::min(regions_[i].end, end));
      regions_[i].end = 0;
    }
    if (!done.ok()) {
      if (done.error().errnum == EINTR) continue;
      return done;
    }
    if (argument.walk_end > at) {
      at = argument.walk_end;
    } else {
      // A page of hugetlbfs is scanned as a whole or not at all: this chunk ends within one.
      if (argument.end == end) return SysError{EINVAL, "PAGEMAP_SCAN"};
      chunk *= 2;
    }
  }
  return {};
}

Result<uint64_t> PageTracker::Scan(uint64_t address, uint64_t size, const PageSink& sink) {
  uint64_t pages = 0;
  auto done = ScanRuns(address, size, [&](uint64_t start, uint64_t stop) {
    OrRange(sink, (start - address) / kPageBytes, (stop - start) / kPageBytes);
    pages += (stop - start) / kPageBytes;
  });
  if (!done.ok()) return done.error();
  return pages;
}

void PageTracker::Close() {
  userfault_.Reset();
  pagemap_.Reset();
}

}  // namespace sys
