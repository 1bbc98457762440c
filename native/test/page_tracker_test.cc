// The kernel's write tracking, over every kind of memory that guests get, and every kind of writer that this process
// has.

#include "sys/page_tracker.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "sys/fault.h"
#include "sys/mapping.h"
#include "test/check.h"

namespace {

constexpr uint64_t kPage = 4096;

/** Memory that is tracked from its construction on. */
struct Tracked {
  explicit Tracked(const sys::MapSpec& spec, bool populate = false) {
    auto mapped = sys::Mapping::Create(spec);
    if (!mapped.ok()) return;
    memory = std::move(mapped.value());
    if (populate) memset(memory.data(), 1, memory.size());
    auto opened = sys::PageTracker::Open();
    if (!opened.ok()) return;
    tracker.emplace(std::move(opened.value()));
    ready = tracker->Register(Address(), memory.size()).ok();
  }

  uint64_t Address() const { return reinterpret_cast<uintptr_t>(memory.data()); }
  char* At(uint64_t page) const { return static_cast<char*>(memory.data()) + page * kPage; }
  uint64_t Pages() const { return memory.size() / kPage; }
  /** The pages that one scan reports; none when it fails or when its count is another. */
  std::vector<uint64_t> Scan() {
    std::vector<uint8_t> bits(sys::BitmapBytes(Pages()));
    auto found = tracker->Scan(Address(), memory.size(), {bits});
    std::vector<uint64_t> pages;
    if (!found.ok()) return pages;
    for (uint64_t page = 0; page < Pages(); ++page) {
      if ((bits[page / 8] >> (page % 8) & 1) == 1) pages.push_back(page);
    }
    if (found.value() != pages.size()) pages.clear();
    return pages;
  }

  sys::Mapping memory;
  std::optional<sys::PageTracker> tracker;
  bool ready = false;
};

/** Kernels before 6.7 have no tracker: its tests then have nothing to test. */
bool Supported() { return sys::PageTracker::Open().ok(); }

using Pages = std::vector<uint64_t>;

/** Clean at first; then exactly what is written, once; and clean again. */
bool ReportsWrites(Tracked& tracked) {
  if (!tracked.ready || !tracked.Scan().empty()) return false;
  const uint64_t last = tracked.Pages() - 1;
  for (const uint64_t page : {uint64_t{0}, last / 2, last / 2 + 1, last}) tracked.At(page)[page % kPage] = 2;
  volatile char read = tracked.At(last / 3)[0];
  static_cast<void>(read);
  if (tracked.Scan() != Pages{0, last / 2, last / 2 + 1, last}) return false;
  return tracked.Scan().empty();
}

TEST(TracksEveryKind,
     "anonymous memory, memfds, transparent huge pages, populated or not: exactly what is written, once") {
  if (!Supported()) return;
  for (const sys::MapKind kind : {sys::MapKind::kAnonymous, sys::MapKind::kMemfd}) {
    for (const sys::HugePages huge : {sys::HugePages::kNone, sys::HugePages::kTransparent}) {
      for (const bool populate : {false, true}) {
        sys::MapSpec spec;
        spec.size = (uint64_t{6} << 20) + (huge == sys::HugePages::kNone ? kPage : 0);
        spec.kind = kind;
        spec.huge_pages = huge;
        Tracked tracked(spec, populate);
        CHECK(ReportsWrites(tracked));
      }
    }
  }
}

TEST(TracksFiles, "a file, mapped shared or private, in part and beyond what was read of it") {
  if (!Supported()) return;
  char path[] = "/tmp/node-kvm-tracker-XXXXXX";
  const sys::UniqueFd file(mkstemp(path));
  CHECK(file.valid() && ftruncate(file.get(), 64 * kPage) == 0);
  for (const bool shared : {false, true}) {
    sys::MapSpec spec;
    spec.size = 60 * kPage;
    spec.kind = sys::MapKind::kFile;
    spec.path = path;
    spec.shared = shared;
    spec.file_offset = 2 * kPage;
    Tracked tracked(spec);
    CHECK(ReportsWrites(tracked));
  }
  unlink(path);
}

TEST(TracksHugetlbfs, "pages of hugetlbfs count with all their pages") {
  sys::MapSpec spec;
  spec.size = uint64_t{4} << 20;
  spec.huge_pages = sys::HugePages::k2M;
  // Without a pool of them there is nothing to test.
  if (!Supported() || !sys::Mapping::Create(spec).ok()) return;
  Tracked tracked(spec, true);
  CHECK(tracked.ready && tracked.Scan().empty());
  tracked.At(513)[0] = 1;
  const Pages pages = tracked.Scan();
  CHECK(pages.size() == 512 && pages.front() == 512 && pages.back() == 1023);
}

TEST(TracksMoreThanFourGib, "memory of more than 4 GiB, mostly never touched") {
  if (!Supported()) return;
  sys::MapSpec spec;
  spec.size = (uint64_t{5} << 30) + kPage;
  Tracked tracked(spec);
  CHECK(tracked.ready);
  const uint64_t beyond = (uint64_t{4} << 30) / kPage + 1;
  tracked.At(beyond)[0] = 1;
  tracked.At(tracked.Pages() - 1)[0] = 1;
  CHECK(tracked.Scan() == (Pages{beyond, tracked.Pages() - 1}));
}

TEST(ScansMoreRunsThanFit, "more runs than one call returns: none is lost") {
  if (!Supported()) return;
  sys::MapSpec spec;
  spec.size = uint64_t{40} << 20;
  Tracked tracked(spec);
  CHECK(tracked.ready);
  Pages expected;
  for (uint64_t page = 0; page < tracked.Pages(); page += 2) {
    tracked.At(page)[0] = 1;
    expected.push_back(page);
  }
  CHECK(tracked.Scan() == expected && tracked.Scan().empty());
}

TEST(TracksSystemCalls, "read(2) into memory and MADV_DONTNEED are writes") {
  if (!Supported()) return;
  sys::MapSpec spec;
  spec.size = 16 * kPage;
  Tracked tracked(spec, true);
  CHECK(tracked.ready);
  const sys::UniqueFd zero(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  CHECK(read(zero.get(), tracked.At(3) + 100, kPage) == static_cast<ssize_t>(kPage));
  CHECK(tracked.Scan() == (Pages{3, 4}));
  CHECK(madvise(tracked.At(7), kPage, MADV_DONTNEED) == 0);
  CHECK(tracked.Scan() == Pages{7});
}

TEST(NotesWriters, "the writer is noted beside each page that was found") {
  if (!Supported()) return;
  sys::MapSpec spec;
  spec.size = 16 * kPage;
  Tracked tracked(spec);
  CHECK(tracked.ready);
  tracked.At(5)[0] = 1;
  std::vector<uint8_t> bits(2);
  std::vector<uint16_t> writers(16, 1);
  auto found = tracked.tracker->Scan(tracked.Address(), tracked.memory.size(), {bits, writers.data(), 7});
  CHECK(found.ok() && found.value() == 1 && bits[0] == 1u << 5 && writers[5] == 7 && writers[4] == 1);
}

TEST(ReportsWhatItFoundBeforeFailing, "a scan that runs into memory that is not tracked keeps what it found before") {
  if (!Supported()) return;
  sys::MapSpec spec;
  spec.size = 16 * kPage;
  Tracked tracked(spec);
  CHECK(tracked.ready);
  CHECK(tracked.tracker->Unregister(tracked.Address() + 8 * kPage, 8 * kPage).ok());
  tracked.At(2)[0] = 1;
  tracked.At(5)[0] = 1;
  std::vector<uint8_t> bits(2);
  auto failed = tracked.tracker->Scan(tracked.Address(), tracked.memory.size(), {bits});
  CHECK(!failed.ok() && failed.error().errnum == EPERM && strcmp(failed.error().syscall, "PAGEMAP_SCAN") == 0);
  CHECK(bits[0] == (1u << 2 | 1u << 5) && bits[1] == 0);
  CHECK(tracked.tracker->Register(tracked.Address(), tracked.memory.size()).ok());
  CHECK(ReportsWrites(tracked));
}

TEST(FailsWithoutTracks, "each call that fails leaves nothing tracked, and works when it is tried again") {
  if (!Supported()) return;
  for (const char* call : {"userfaultfd", "UFFDIO_API"}) {
    sys::ArmFault(call, 1, EMFILE);
    auto refused = sys::PageTracker::Open();
    CHECK(!refused.ok() && refused.error().errnum == EMFILE && strcmp(refused.error().syscall, call) == 0);
  }
  sys::MapSpec spec;
  spec.size = 16 * kPage;
  Tracked tracked(spec);
  CHECK(tracked.ready);
  auto other = sys::PageTracker::Open();
  CHECK(other.ok());
  auto busy = other.value().Register(tracked.Address(), tracked.memory.size());
  CHECK(!busy.ok() && busy.error().errnum == EBUSY && strcmp(busy.error().syscall, "UFFDIO_REGISTER") == 0);
  sys::ArmFault("UFFDIO_UNREGISTER", 1, ENOMEM);
  CHECK(!tracked.tracker->Unregister(tracked.Address(), tracked.memory.size()).ok());
  CHECK(tracked.tracker->Unregister(tracked.Address(), tracked.memory.size()).ok());
  for (const char* call : {"UFFDIO_REGISTER", "PAGEMAP_SCAN"}) {
    sys::ArmFault(call, 1, ENOMEM);
    auto refused = tracked.tracker->Register(tracked.Address(), tracked.memory.size());
    CHECK(!refused.ok() && refused.error().errnum == ENOMEM && strcmp(refused.error().syscall, call) == 0);
    // Somebody else could have it now.
    CHECK(other.value().Register(tracked.Address(), tracked.memory.size()).ok());
    CHECK(other.value().Unregister(tracked.Address(), tracked.memory.size()).ok());
  }
  CHECK(tracked.tracker->Register(tracked.Address(), tracked.memory.size()).ok());
  tracked.At(1)[0] = 1;
  sys::ArmFault("PAGEMAP_SCAN", 1, ENOMEM);
  std::vector<uint8_t> bits(2);
  CHECK(!tracked.tracker->Scan(tracked.Address(), tracked.memory.size(), {bits}).ok() && bits[0] == 0);
  CHECK(tracked.Scan() == Pages{1});
  tracked.tracker->Close();
  tracked.tracker->Close();
  CHECK(!tracked.tracker->open() && other.value().Register(tracked.Address(), tracked.memory.size()).ok());
}

TEST(LosesNoPage, "pages that threads write during scans are in this one or in the next") {
  if (!Supported()) return;
  constexpr unsigned kWriters = 2;
  constexpr uint32_t kRounds = 6;
  sys::MapSpec spec;
  spec.size = 512 * kPage;
  Tracked tracked(spec);
  CHECK(tracked.ready);
  std::atomic<unsigned> done{0};
  std::vector<std::thread> threads;
  const auto word = [&](unsigned writer, uint64_t page) {
    return reinterpret_cast<uint32_t*>(tracked.At(page)) + writer;
  };
  for (unsigned index = 0; index < kWriters; ++index) {
    threads.emplace_back([&, index] {
      std::mt19937 random(index);
      for (uint32_t round = 1; round <= kRounds * tracked.Pages(); ++round)
        __atomic_store_n(word(index, random() % tracked.Pages()), round, __ATOMIC_RELAXED);
      ++done;
    });
  }
  std::vector<uint32_t> copy(kWriters * tracked.Pages());
  for (bool last = false; !last;) {
    last = done == kWriters;
    for (const uint64_t page : tracked.Scan()) {
      for (unsigned index = 0; index < kWriters; ++index)
        copy[page * kWriters + index] = __atomic_load_n(word(index, page), __ATOMIC_RELAXED);
    }
  }
  for (std::thread& thread : threads) thread.join();
  for (uint64_t page = 0; page < tracked.Pages(); ++page) {
    for (unsigned index = 0; index < kWriters; ++index) CHECK(copy[page * kWriters + index] == *word(index, page));
  }
}

}  // namespace
