// sys/mapping, prefault and proc_maps against the real kernel.

#include "sys/mapping.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "sys/prefault.h"
#include "sys/proc_maps.h"
#include "sys/unique_fd.h"
#include "test/check.h"

namespace {

constexpr size_t kPage = 4096;
constexpr size_t k2MiB = size_t{2} << 20;

sys::MapSpec Spec(size_t size, sys::MapKind kind = sys::MapKind::kAnonymous) {
  sys::MapSpec spec;
  spec.size = size;
  spec.kind = kind;
  return spec;
}

uint64_t AddressOf(const sys::Mapping& mapping) { return reinterpret_cast<uintptr_t>(mapping.data()); }
unsigned char* BytesOf(const sys::Mapping& mapping) { return static_cast<unsigned char*>(mapping.data()); }

bool Mapped(uint64_t address, uint64_t size, bool writable = true) {
  auto mapped = sys::IsMapped(address, size, writable);
  return mapped.ok() && mapped.value();
}

bool MapsMention(const char* text) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(text) != std::string::npos) return true;
  }
  return false;
}

/** A file of `size` bytes of 'f' that is gone with the object. */
class TemporaryFile {
 public:
  explicit TemporaryFile(size_t size) {
    fd_ = sys::UniqueFd(mkstemp(path_));
    const std::string content(size, 'f');
    if (write(fd_.get(), content.data(), size) != static_cast<ssize_t>(size)) abort();
  }
  ~TemporaryFile() { unlink(path_); }
  const char* path() const { return path_; }
  char At(off_t offset) const {
    char byte = 0;
    if (pread(fd_.get(), &byte, 1, offset) != 1) abort();
    return byte;
  }

 private:
  char path_[64] = "/tmp/node-kvm-test-XXXXXX";
  sys::UniqueFd fd_;
};

TEST(AlignsLargeMappings, "a mapping of 2 MiB or more starts at a multiple of 2 MiB") {
  for (const size_t size : {k2MiB, k2MiB + kPage, 5 * k2MiB + 3 * kPage}) {
    for (const auto kind : {sys::MapKind::kAnonymous, sys::MapKind::kMemfd}) {
      auto mapping = sys::Mapping::Create(Spec(size, kind));
      CHECK(mapping.ok());
      CHECK(AddressOf(mapping.value()) % k2MiB == 0);
      CHECK(Mapped(AddressOf(mapping.value()), size));
    }
  }
}

TEST(StartsZeroed, "memory is zeroed, readable and writable to its last byte") {
  for (const auto kind : {sys::MapKind::kAnonymous, sys::MapKind::kMemfd}) {
    auto mapping = sys::Mapping::Create(Spec(3 * kPage, kind));
    CHECK(mapping.ok());
    for (size_t i = 0; i < 3 * kPage; ++i) CHECK(BytesOf(mapping.value())[i] == 0);
    memset(mapping.value().data(), 0xab, 3 * kPage);
    CHECK(BytesOf(mapping.value())[3 * kPage - 1] == 0xab);
  }
}

TEST(CommitsLazily, "64 GiB cost nothing until they are touched") {
  const size_t size = size_t{64} << 30;
  auto mapping = sys::Mapping::Create(Spec(size));
  CHECK(mapping.ok());
  BytesOf(mapping.value())[0] = 1;
  BytesOf(mapping.value())[size - 1] = 2;
  CHECK(BytesOf(mapping.value())[size / 2] == 0);
}

TEST(RefusesBadSizes, "sizes of zero, not of whole pages, or beyond the address space are refused") {
  for (const size_t size : {size_t{0}, size_t{1}, kPage + 1}) {
    auto mapping = sys::Mapping::Create(Spec(size));
    CHECK(!mapping.ok() && mapping.error().errnum == EINVAL);
  }
  auto huge = sys::Mapping::Create(Spec(size_t{1} << 52));
  CHECK(!huge.ok() && huge.error().errnum == ENOMEM);
  auto wrapping = sys::Mapping::Create(Spec(~size_t{0} / kPage * kPage));
  CHECK(!wrapping.ok() && wrapping.error().errnum == ENOMEM);
}

TEST(NamesMemfd, "a memfd's name shows in /proc/self/maps, and its descriptor is closed") {
  auto spec = Spec(kPage, sys::MapKind::kMemfd);
  spec.name = "native-test-name";
  auto mapping = sys::Mapping::Create(spec);
  CHECK(mapping.ok());
  CHECK(MapsMention("memfd:native-test-name"));
  for (int fd = 3; fd < 64; ++fd) {
    char target[128] = {};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    if (readlink(link.c_str(), target, sizeof(target) - 1) > 0) CHECK(strstr(target, "native-test-name") == nullptr);
  }
}

TEST(UnmapsOnce, "the last reference unmaps, on whichever thread it is dropped") {
  auto created = sys::Mapping::Create(Spec(k2MiB, sys::MapKind::kMemfd));
  CHECK(created.ok());
  auto first = std::make_shared<sys::Mapping>(std::move(created.value()));
  CHECK(created.value().data() == nullptr);
  const uint64_t address = AddressOf(*first);
  std::thread other([second = first]() mutable { second.reset(); });
  other.join();
  CHECK(Mapped(address, k2MiB));
  std::thread last([third = std::move(first)]() mutable { third.reset(); });
  last.join();
  CHECK(!Mapped(address, kPage, false));
}

TEST(MovesOwnership, "assignment unmaps what was there and takes what comes") {
  auto a = sys::Mapping::Create(Spec(kPage, sys::MapKind::kMemfd));
  auto b = sys::Mapping::Create(Spec(kPage, sys::MapKind::kMemfd));
  CHECK(a.ok() && b.ok());
  const uint64_t old_address = AddressOf(a.value());
  const uint64_t new_address = AddressOf(b.value());
  a.value() = std::move(b.value());
  CHECK(AddressOf(a.value()) == new_address);
  CHECK(!Mapped(old_address, kPage, false));
  CHECK(Mapped(new_address, kPage));
}

TEST(MapsFiles, "a shared file mapping writes through, a private one does not") {
  const TemporaryFile file(3 * kPage);
  auto spec = Spec(2 * kPage, sys::MapKind::kFile);
  spec.path = file.path();
  spec.file_offset = kPage;
  auto copy = sys::Mapping::Create(spec);
  CHECK(copy.ok() && BytesOf(copy.value())[0] == 'f');
  BytesOf(copy.value())[0] = 'p';
  CHECK(file.At(kPage) == 'f');
  spec.shared = true;
  auto shared = sys::Mapping::Create(spec);
  CHECK(shared.ok());
  BytesOf(shared.value())[1] = 's';
  CHECK(file.At(kPage + 1) == 's');
}

TEST(RefusesShortFiles, "a file that ends before the mapping is refused, up to the last page that it reaches into") {
  const TemporaryFile file(kPage + 1);
  auto spec = Spec(2 * kPage, sys::MapKind::kFile);
  spec.path = file.path();
  auto fits = sys::Mapping::Create(spec);
  CHECK(fits.ok() && BytesOf(fits.value())[kPage] == 'f' && BytesOf(fits.value())[kPage + 1] == 0);
  spec.size = 3 * kPage;
  auto longer = sys::Mapping::Create(spec);
  CHECK(!longer.ok() && longer.error().errnum == ENXIO);
  spec.size = kPage;
  spec.file_offset = 2 * kPage;
  auto beyond = sys::Mapping::Create(spec);
  CHECK(!beyond.ok() && beyond.error().errnum == ENXIO);
  spec.file_offset = ~uint64_t{0} / kPage * kPage;
  auto wrapping = sys::Mapping::Create(spec);
  CHECK(!wrapping.ok() && wrapping.error().errnum == ENXIO);
}

TEST(RefusesOtherThanFiles, "a missing path, a directory and a FIFO are refused at once") {
  auto spec = Spec(kPage, sys::MapKind::kFile);
  spec.path = "/nonexistent/file";
  auto missing = sys::Mapping::Create(spec);
  CHECK(!missing.ok() && missing.error().errnum == ENOENT && strcmp(missing.error().syscall, "open") == 0);
  spec.path = "/tmp";
  auto directory = sys::Mapping::Create(spec);
  CHECK(!directory.ok() && directory.error().errnum == ENODEV);
  const std::string fifo = "/tmp/node-kvm-test-fifo-" + std::to_string(getpid());
  CHECK(mkfifo(fifo.c_str(), 0600) == 0);
  spec.path = fifo;
  auto pipe = sys::Mapping::Create(spec);
  unlink(fifo.c_str());
  CHECK(!pipe.ok() && pipe.error().errnum == ENODEV);
}

TEST(DetachesInPlace, "detach releases what was mapped and keeps the address usable") {
  const sys::UniqueFd fd(memfd_create("detach", MFD_CLOEXEC));
  CHECK(fd.valid() && ftruncate(fd.get(), kPage) == 0);
  auto mapping = sys::Mapping::OfDescriptor(fd.get(), kPage);
  CHECK(mapping.ok());
  BytesOf(mapping.value())[0] = 7;
  CHECK(mapping.value().Detach().ok());
  CHECK(BytesOf(mapping.value())[0] == 0);
  BytesOf(mapping.value())[0] = 9;
  unsigned char kept = 0;
  CHECK(pread(fd.get(), &kept, 1, 0) == 1 && kept == 7);
  CHECK(!MapsMention("memfd:detach"));
}

TEST(Prefaults, "prefault makes every page resident on any number of threads and keeps the content") {
  for (const unsigned threads : {1u, 2u, 7u}) {
    const size_t size = 40 * k2MiB + 5 * kPage;  // more than one chunk, and not a multiple of one
    auto mapping = sys::Mapping::Create(Spec(size, sys::MapKind::kMemfd));
    CHECK(mapping.ok());
    BytesOf(mapping.value())[size - 1] = 42;
    CHECK(sys::Prefault(mapping.value().data(), size, threads).ok());
    std::vector<unsigned char> resident((size + kPage - 1) / kPage);
    CHECK(mincore(mapping.value().data(), size, resident.data()) == 0);
    for (const unsigned char page : resident) CHECK((page & 1) == 1);
    CHECK(BytesOf(mapping.value())[size - 1] == 42 && BytesOf(mapping.value())[0] == 0);
  }
}

TEST(CountsResident, "what is resident is what was touched, up to the bound; nothing of what is not mapped") {
  auto mapping = sys::Mapping::Create(Spec(size_t{1} << 30));
  CHECK(mapping.ok());
  CHECK(madvise(mapping.value().data(), mapping.value().size(), MADV_NOHUGEPAGE) == 0);
  CHECK(sys::ResidentBytes(mapping.value().data(), mapping.value().size(), SIZE_MAX) == 0);
  for (const size_t page : {size_t{0}, size_t{16383}, size_t{16384}, size_t{262143}}) {
    BytesOf(mapping.value())[page * kPage] = 1;
  }
  CHECK(sys::ResidentBytes(mapping.value().data(), mapping.value().size(), SIZE_MAX) == 4 * kPage);
  CHECK(sys::ResidentBytes(mapping.value().data(), mapping.value().size(), 2 * kPage) == 2 * kPage);
  CHECK(sys::ResidentBytes(nullptr, kPage, SIZE_MAX) == 0);
}

TEST(PrefaultReportsErrors,
     "prefault of memory that cannot be written, or of parts of pages, is an error; of nothing is not") {
  auto mapping = sys::Mapping::Create(Spec(2 * kPage));
  CHECK(mapping.ok());
  CHECK(sys::Prefault(mapping.value().data(), 0, 4).ok());
  auto odd = sys::Prefault(BytesOf(mapping.value()) + 1, kPage, 1);
  CHECK(!odd.ok() && odd.error().errnum == EINVAL);
  CHECK(mprotect(mapping.value().data(), kPage, PROT_READ) == 0);
  auto read_only = sys::Prefault(mapping.value().data(), 2 * kPage, 2);
  CHECK(!read_only.ok() && strcmp(read_only.error().syscall, "madvise") == 0);
}

TEST(KnowsWhatIsMapped, "IsMapped: whole range, protection, holes, wrap-around") {
  auto mapping = sys::Mapping::Create(Spec(4 * kPage, sys::MapKind::kMemfd));
  CHECK(mapping.ok());
  const uint64_t base = AddressOf(mapping.value());
  CHECK(Mapped(base, 4 * kPage) && Mapped(base + 5, 3 * kPage) && !Mapped(base, 0));
  CHECK(mprotect(BytesOf(mapping.value()) + kPage, kPage, PROT_READ) == 0);
  CHECK(!Mapped(base, 4 * kPage) && Mapped(base, 4 * kPage, false));
  CHECK(mprotect(BytesOf(mapping.value()) + kPage, kPage, PROT_NONE) == 0);
  CHECK(!Mapped(base, 4 * kPage, false) && Mapped(base + 2 * kPage, 2 * kPage));
  CHECK(!Mapped(0, kPage, false) && !Mapped(~uint64_t{0} - kPage, 2 * kPage, false));
}

}  // namespace
