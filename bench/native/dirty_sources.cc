// Implementation of the C++ dirty sources: KVM's log (plain and manual), KVM's rings, userfaultfd with PAGEMAP_SCAN, and a bitmap of
// the host's own writes.

#include "dirty_sources.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "baseline.h"

namespace baseline {

namespace {

// Newer than the headers of some distributions (linux/fs.h and linux/userfaultfd.h of Linux 6.7).
constexpr uint64_t kFeatureWpUnpopulated = uint64_t{1} << 13;
constexpr uint64_t kFeatureWpAsync = uint64_t{1} << 15;
constexpr int kUserModeOnly = 1;
constexpr uint64_t kScanWpMatching = 1;
constexpr uint64_t kScanCheckWpAsync = 2;
constexpr uint64_t kPageIsWritten = 2;

struct PageRegion {
  uint64_t start, end, categories;
};

struct ScanArguments {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

constexpr auto kPagemapScan = _IOWR('f', 16, ScanArguments);

/** KVM's log and the host's bitmap. */
class KvmLog : public DirtySource {
 public:
  /** `manual`: KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, with or without KVM_DIRTY_LOG_INITIALLY_SET; 0: the plain log. */
  KvmLog(BareVm& vm, std::vector<Slot>& slots, uint64_t manual) : vm_(vm), slots_(slots), manual_(manual != 0) {
    for (const Slot& slot : slots) logs_.push_back(std::make_unique<uint64_t[]>(slot.words()));
    if (!manual_) return;
    kvm_enable_cap cap{};
    cap.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
    cap.args[0] = manual;
    Checked(ioctl(vm.fd(), KVM_ENABLE_CAP, &cap), "KVM_ENABLE_CAP (manual dirty log)");
  }

  void Start() override { SetFlags(KVM_MEM_LOG_DIRTY_PAGES); }
  void Stop() override { SetFlags(0); }

  void Harvest(Ranges& ranges) override {
    ranges.Clear();
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      GetOne(i);
      if (manual_) ClearOne(i);
      for (uint64_t word = 0; word < slot.words(); ++word) {
        ranges.AppendWord(logs_[i][word] | slot.TakeWritten(word), slot.guest_address + word * 64 * kPageSize);
      }
    }
  }

  void Get() override {
    for (size_t i = 0; i < slots_.size(); ++i) GetOne(i);
  }

  void Clear() override {
    for (size_t i = 0; manual_ && i < slots_.size(); ++i) ClearRange(i, 0, slots_[i].words());
  }

 private:
  void SetFlags(uint32_t flags) {
    for (const Slot& slot : slots_) {
      kvm_userspace_memory_region region{slot.id, flags, slot.guest_address, slot.bytes, reinterpret_cast<uint64_t>(slot.host)};
      Checked(ioctl(vm_.fd(), KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    }
  }

  void GetOne(size_t i) {
    kvm_dirty_log log{};
    log.slot = slots_[i].id;
    log.dirty_bitmap = logs_[i].get();
    Checked(ioctl(vm_.fd(), KVM_GET_DIRTY_LOG, &log), "KVM_GET_DIRTY_LOG");
  }

  /** From the first word with a dirty page to the last. */
  void ClearOne(size_t i) {
    const uint64_t* log = logs_[i].get();
    uint64_t first = 0;
    uint64_t end = slots_[i].words();
    while (first < end && log[first] == 0) ++first;
    while (end > first && log[end - 1] == 0) --end;
    if (first < end) ClearRange(i, first, end);
  }

  void ClearRange(size_t i, uint64_t first, uint64_t end) {
    kvm_clear_dirty_log clear{};
    clear.slot = slots_[i].id;
    clear.first_page = first * 64;
    clear.num_pages = static_cast<uint32_t>(std::min(end * 64, slots_[i].pages()) - first * 64);
    clear.dirty_bitmap = logs_[i].get() + first;
    Checked(ioctl(vm_.fd(), KVM_CLEAR_DIRTY_LOG, &clear), "KVM_CLEAR_DIRTY_LOG");
  }

  BareVm& vm_;
  std::vector<Slot>& slots_;
  const bool manual_;
  std::vector<std::unique_ptr<uint64_t[]>> logs_;
};

/** KVM's rings and the host's bitmap. */
class Rings : public DirtySource {
 public:
  Rings(BareVm& vm, std::vector<Slot>& slots, uint32_t entries) : vm_(vm), slots_(slots), entries_(entries) {
    for (const Slot& slot : slots) logs_.push_back(std::make_unique<uint64_t[]>(slot.words()));
    kvm_enable_cap cap{};
    cap.cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL;
    cap.args[0] = entries * sizeof(kvm_dirty_gfn);
    Checked(ioctl(vm.fd(), KVM_ENABLE_CAP, &cap), "KVM_ENABLE_CAP (dirty ring)");
  }

  void AddVcpu(BareVcpu& vcpu) {
    void* ring = mmap(nullptr, entries_ * sizeof(kvm_dirty_gfn), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu.fd(),
                      KVM_DIRTY_LOG_PAGE_OFFSET * kPageSize);
    if (ring == MAP_FAILED) Fail("mmap dirty ring");
    const std::lock_guard lock(mutex_);
    rings_.push_back({static_cast<kvm_dirty_gfn*>(ring), 0});
  }

  void Start() override { SetFlags(KVM_MEM_LOG_DIRTY_PAGES); }
  void Stop() override { SetFlags(0); }

  void Harvest(Ranges& ranges) override {
    const std::lock_guard lock(mutex_);
    Collect();
    ranges.Clear();
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      for (uint64_t word = 0; word < slot.words(); ++word) {
        ranges.AppendWord(logs_[i][word] | slot.TakeWritten(word), slot.guest_address + word * 64 * kPageSize);
        logs_[i][word] = 0;
      }
    }
  }

  bool Serve(BareVcpu& vcpu) override {
    if (vcpu.run()->exit_reason != KVM_EXIT_DIRTY_RING_FULL) return false;
    const std::lock_guard lock(mutex_);
    Collect();
    return true;
  }

 private:
  struct Ring {
    kvm_dirty_gfn* entries;
    uint32_t next;
  };

  void SetFlags(uint32_t flags) {
    for (const Slot& slot : slots_) {
      kvm_userspace_memory_region region{slot.id, flags, slot.guest_address, slot.bytes, reinterpret_cast<uint64_t>(slot.host)};
      Checked(ioctl(vm_.fd(), KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    }
  }

  void Collect() {
    uint32_t taken = 0;
    for (Ring& ring : rings_) {
      for (;;) {
        kvm_dirty_gfn& entry = ring.entries[ring.next % entries_];
        if ((__atomic_load_n(&entry.flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY) == 0) break;
        // Ids are indices.
        if (entry.slot < slots_.size() && entry.offset < slots_[entry.slot].pages()) {
          logs_[entry.slot][entry.offset / 64] |= uint64_t{1} << (entry.offset % 64);
        }
        __atomic_store_n(&entry.flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
        ++ring.next;
        ++taken;
      }
    }
    while (taken > 0) {
      const int reset = Checked(ioctl(vm_.fd(), KVM_RESET_DIRTY_RINGS, 0), "KVM_RESET_DIRTY_RINGS");
      if (reset == 0) break;
      taken -= std::min(taken, static_cast<uint32_t>(reset));
    }
  }

  BareVm& vm_;
  std::vector<Slot>& slots_;
  const uint32_t entries_;
  std::mutex mutex_;
  std::vector<Ring> rings_;
  std::vector<std::unique_ptr<uint64_t[]>> logs_;
};

/** The kernel's own write tracking, which needs no bitmap beside it. */
class Pagemap : public DirtySource {
 public:
  explicit Pagemap(std::vector<Slot>& slots) : slots_(slots), found_(kFound) {
    pagemap_ = Checked(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), "open /proc/self/pagemap");
  }
  ~Pagemap() override {
    if (faults_ >= 0) close(faults_);
    close(pagemap_);
  }

  void Start() override {
    faults_ = Checked(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | kUserModeOnly)), "userfaultfd");
    uffdio_api api{UFFD_API, kFeatureWpUnpopulated | kFeatureWpAsync, 0};
    Checked(ioctl(faults_, UFFDIO_API, &api), "UFFDIO_API");
    for (const Slot& slot : slots_) {
      uffdio_register range{{reinterpret_cast<uint64_t>(slot.host), slot.bytes}, UFFDIO_REGISTER_MODE_WP, 0};
      Checked(ioctl(faults_, UFFDIO_REGISTER, &range), "UFFDIO_REGISTER");
      uffdio_writeprotect protect{{reinterpret_cast<uint64_t>(slot.host), slot.bytes}, UFFDIO_WRITEPROTECT_MODE_WP};
      Checked(ioctl(faults_, UFFDIO_WRITEPROTECT, &protect), "UFFDIO_WRITEPROTECT");
    }
  }

  void Stop() override {
    for (const Slot& slot : slots_) {
      uffdio_range range{reinterpret_cast<uint64_t>(slot.host), slot.bytes};
      Checked(ioctl(faults_, UFFDIO_UNREGISTER, &range), "UFFDIO_UNREGISTER");
    }
    close(faults_);
    faults_ = -1;
  }

  void Harvest(Ranges& ranges) override {
    ranges.Clear();
    for (const Slot& slot : slots_) {
      const auto base = reinterpret_cast<uint64_t>(slot.host);
      ScanArguments scan{};
      scan.size = sizeof scan;
      scan.flags = kScanWpMatching | kScanCheckWpAsync;
      scan.start = base;
      scan.end = base + slot.bytes;
      scan.vec = reinterpret_cast<uint64_t>(found_.data());
      scan.vec_len = found_.size();
      scan.category_mask = kPageIsWritten;
      scan.return_mask = kPageIsWritten;
      while (scan.start < scan.end) {
        const int count = Checked(ioctl(pagemap_, kPagemapScan, &scan), "PAGEMAP_SCAN");
        for (int i = 0; i < count; ++i) {
          const PageRegion& found = found_[static_cast<size_t>(i)];
          ranges.Append(slot.guest_address + (found.start - base), found.end - found.start);
        }
        scan.start = scan.walk_end;
      }
    }
  }

 private:
  static constexpr size_t kFound = 4096;
  std::vector<Slot>& slots_;
  std::vector<PageRegion> found_;
  int pagemap_ = -1;
  int faults_ = -1;
};

/** The host's bitmap alone. */
class HostWrites : public DirtySource {
 public:
  explicit HostWrites(std::vector<Slot>& slots) : slots_(slots) {}
  void Start() override {}
  void Stop() override {}

  void Harvest(Ranges& ranges) override {
    ranges.Clear();
    for (Slot& slot : slots_) {
      for (uint64_t word = 0; word < slot.words(); ++word) {
        ranges.AppendWord(slot.TakeWritten(word), slot.guest_address + word * 64 * kPageSize);
      }
    }
  }

 private:
  std::vector<Slot>& slots_;
};

}  // namespace

std::unique_ptr<DirtySource> MakeDirtySource(const std::string& name, BareVm* vm, std::vector<Slot>& slots, uint32_t ring_entries) {
  if (name == "pagemap") return std::make_unique<Pagemap>(slots);
  if (name == "host") return std::make_unique<HostWrites>(slots);
  if (vm != nullptr && name == "plain") return std::make_unique<KvmLog>(*vm, slots, 0);
  constexpr uint64_t kManual = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
  if (vm != nullptr && name == "manual") return std::make_unique<KvmLog>(*vm, slots, kManual);
  if (vm != nullptr && name == "manual-all") return std::make_unique<KvmLog>(*vm, slots, kManual | KVM_DIRTY_LOG_INITIALLY_SET);
  if (vm != nullptr && name == "ring") return std::make_unique<Rings>(*vm, slots, ring_entries);
  errno = EINVAL;
  Fail("no such dirty source here");
}

void AddRing(DirtySource& source, BareVcpu& vcpu) {
  if (auto* rings = dynamic_cast<Rings*>(&source)) rings->AddVcpu(vcpu);
}

}  // namespace baseline
