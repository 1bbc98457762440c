// The kernel's write tracking of this process's memory: userfaultfd in asynchronous write-protect mode, harvested with
// PAGEMAP_SCAN. Sees every store, by whatever thread, system call or guest, that goes through the tracked addresses;
// knows nothing of KVM. One thread at a time. Linux >= 6.7; needs no privilege. Documentation:
// admin-guide/mm/pagemap.rst, userfaultfd.rst.

#ifndef NODE_KVM_SYS_PAGE_TRACKER_H_
#define NODE_KVM_SYS_PAGE_TRACKER_H_

#include <cstdint>
#include <memory>

#include "sys/bitmap.h"
#include "sys/result.h"
#include "sys/unique_fd.h"

namespace sys {

/** struct page_region of <linux/fs.h>: a run of pages, as the kernel reports it. */
struct PageRegion {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};

class PageTracker {
 public:
  /** userfaultfd(2) and UFFDIO_API. ENOSYS or EPERM: the kernel refuses it; EINVAL ("UFFDIO_API"): it lacks the
   * features. */
  static Result<PageTracker> Open();
  PageTracker(PageTracker&&) noexcept = default;
  PageTracker& operator=(PageTracker&&) noexcept = default;

  bool open() const { return userfault_.valid(); }

  /**
   * Tracks [address, address + size), page-aligned and all mapped, and protects every page: it is clean from here on.
   * Costs page tables for all of it, populated or not. Shared memory is mapped by small pages from here on, hugetlbfs
   * apart. EBUSY: another tracker has it. When it fails, the range is not tracked.
   */
  Result<void> Register(uint64_t address, uint64_t size);
  /** The range is an ordinary one again, and what was not scanned is forgotten. */
  Result<void> Unregister(uint64_t address, uint64_t size);
  /**
   * Finds the pages written since the last scan, protects them again (atomically for each page), and adds them to
   * `sink` (the range's first page = bit 0). Returns how many. The sink holds the range's pages: the caller checks.
   * EPERM: part of the range is not tracked. When it fails halfway, what was found is in the sink.
   */
  Result<uint64_t> Scan(uint64_t address, uint64_t size, const PageSink& sink);
  /** Nothing is tracked any more. Idempotent. */
  void Close();

 private:
  PageTracker(UniqueFd userfault, UniqueFd pagemap);

  /** Scans, calling `found(first address, end)` for each run of written pages, in order. */
  template <typename Found>
  Result<void> ScanRuns(uint64_t address, uint64_t size, Found found);

  UniqueFd userfault_;
  UniqueFd pagemap_;
  /** Room for the kernel's answer; between two calls, `end` of every entry is 0. */
  std::unique_ptr<PageRegion[]> regions_;
};

}  // namespace sys

#endif  // NODE_KVM_SYS_PAGE_TRACKER_H_
