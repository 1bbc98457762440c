// 8-byte accesses by guest physical address, in two ways, both header-like code in one translation unit that the compiler may
// inline into the loop.
// "full": the algorithm of rust-vmm's vm-memory, which promises what readObj and writeObj promise: a binary search over regions,
// accesses of any length that may cross into an adjacent region, of any alignment, single volatile accesses where aligned,
// and an atomic OR into the region's dirty bitmap for each page.
// "lean": aligned words within one region only, so that nothing but the search and the bounds check is left.

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <type_traits>
#include <vector>

#include "baseline.h"

namespace baseline {

namespace {

struct Region {
  uint64_t guest_address;
  uint64_t size;
  uint8_t* host;
  /** One bit per page; none where tracking is off. */
  std::unique_ptr<std::atomic<uint64_t>[]> dirty;

  void MarkDirty(uint64_t offset, uint64_t length) const {
    if (dirty == nullptr) return;
    const uint64_t last = std::min(offset + length - 1, size - 1) >> 12;
    for (uint64_t page = offset >> 12; page <= last; ++page) {
      dirty[page >> 6].fetch_or(uint64_t{1} << (page & 63), std::memory_order_seq_cst);
    }
  }
};

/** The widest single accesses that both addresses allow. */
void CopyVolatile(uint8_t* to, const uint8_t* from, size_t length) {
  const uintptr_t both = reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from);
  const auto copy = [&]<typename T>(T) {
    while (both % sizeof(T) == 0 && length >= sizeof(T)) {
      *reinterpret_cast<volatile T*>(to) = *reinterpret_cast<const volatile T*>(from);
      to += sizeof(T);
      from += sizeof(T);
      length -= sizeof(T);
    }
  };
  copy(uint64_t{});
  copy(uint32_t{});
  copy(uint16_t{});
  copy(uint8_t{});
}

class GuestMemory {
 public:
  /** `count` regions of `size` bytes with a hole of the same size after each. */
  GuestMemory(size_t count, size_t size, bool tracking) {
    for (size_t i = 0; i < count; ++i) {
      void* host = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (host == MAP_FAILED) Fail("mmap");
      Region region{i * 2 * size, size, static_cast<uint8_t*>(host), nullptr};
      if (tracking) region.dirty = std::make_unique<std::atomic<uint64_t>[]>((size / 4096 + 63) / 64);
      regions_.push_back(std::move(region));
    }
  }

  template <typename T>
  bool ReadFull(uint64_t address, T& value) const {
    auto* bytes = reinterpret_cast<uint8_t*>(&value);
    return Access(address, sizeof(T), [bytes](size_t done, const Region& region, uint64_t offset, size_t length) {
      CopyVolatile(bytes + done, region.host + offset, length);
    });
  }

  template <typename T>
  bool WriteFull(uint64_t address, T value) const {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
    return Access(address, sizeof(T), [bytes](size_t done, const Region& region, uint64_t offset, size_t length) {
      CopyVolatile(region.host + offset, bytes + done, length);
      region.MarkDirty(offset, length);
    });
  }

  template <typename T>
  bool ReadLean(uint64_t address, T& value) const {
    const Region* region = FindWord(address, sizeof(T));
    if (region == nullptr) return false;
    value = *reinterpret_cast<volatile T*>(region->host + (address - region->guest_address));
    return true;
  }

  template <typename T>
  bool WriteLean(uint64_t address, T value) const {
    const Region* region = FindWord(address, sizeof(T));
    if (region == nullptr) return false;
    const uint64_t offset = address - region->guest_address;
    *reinterpret_cast<volatile T*>(region->host + offset) = value;
    region->MarkDirty(offset, sizeof(T));
    return true;
  }

  bool FetchAdd(uint64_t address, uint64_t operand, uint64_t& before) const {
    const Region* region = FindWord(address, sizeof(uint64_t));
    if (region == nullptr) return false;
    const uint64_t offset = address - region->guest_address;
    before = reinterpret_cast<std::atomic<uint64_t>*>(region->host + offset)->fetch_add(operand, std::memory_order_seq_cst);
    region->MarkDirty(offset, sizeof(uint64_t));
    return true;
  }

 private:
  const Region* Find(uint64_t address) const {
    auto after = std::upper_bound(regions_.begin(), regions_.end(), address,
                                  [](uint64_t wanted, const Region& region) { return wanted < region.guest_address; });
    if (after == regions_.begin()) return nullptr;
    const Region& region = *std::prev(after);
    return address - region.guest_address < region.size ? &region : nullptr;
  }

  /** Calls `piece` for each region's share of [address, address + length). */
  template <typename Piece>
  bool Access(uint64_t address, size_t length, Piece piece) const {
    size_t done = 0;
    while (const Region* region = Find(address)) {
      const uint64_t offset = address - region->guest_address;
      const size_t share = std::min<uint64_t>(region->size - offset, length - done);
      piece(done, *region, offset, share);
      done += share;
      if (done == length) return true;
      if (__builtin_add_overflow(address, share, &address)) return false;
    }
    return false;
  }

  const Region* FindWord(uint64_t address, uint64_t length) const {
    const Region* region = Find(address);
    if (region == nullptr || address % length != 0) return nullptr;
    return region->size - (address - region->guest_address) >= length ? region : nullptr;
  }

  std::vector<Region> regions_;
};

struct Workload {
  GuestMemory memory;
  std::vector<uint64_t> addresses;
};

std::map<std::string, std::unique_ptr<Workload>> workloads;

[[noreturn]] void Unmapped() {
  errno = EFAULT;
  Fail("address is not mapped");
}

}  // namespace

/**
 * memory-open <name> <regions> <region bytes> <tracking 0|1> <addresses>: the addresses follow from a linear congruential
 * generator that TypeScript runs as well.
 */
Answer OpenMemory(Arguments& line) {
  const auto name = Next<std::string>(line);
  const auto regions = Next<size_t>(line);
  const auto size = Next<size_t>(line);
  const bool tracking = Next<int>(line) != 0;
  const auto count = Next<size_t>(line);
  auto workload = std::make_unique<Workload>(Workload{GuestMemory(regions, size, tracking), {}});
  uint32_t random = 1;
  const auto next = [&random] { return random = random * 1664525u + 1013904223u, random >> 8; };
  for (size_t i = 0; i < count; ++i) {
    const uint64_t region = next() % regions;
    workload->addresses.push_back(region * 2 * size + next() % (size / 8) * 8);
  }
  workloads[name] = std::move(workload);
  return {};
}

namespace {

template <typename T, bool kFull>
Answer ReadAll(const Workload& workload, size_t passes) {
  T sum{};
  const double start = NowNs();
  for (size_t pass = 0; pass < passes; ++pass) {
    for (const uint64_t address : workload.addresses) {
      T value;
      if (!(kFull ? workload.memory.ReadFull(address, value) : workload.memory.ReadLean(address, value))) Unmapped();
      sum += value;
    }
  }
  return {NowNs() - start, static_cast<uint64_t>(sum)};
}

template <typename T, bool kFull>
Answer WriteAll(const Workload& workload, size_t passes) {
  const double start = NowNs();
  for (size_t pass = 0; pass < passes; ++pass) {
    const T value = static_cast<T>(static_cast<double>(pass) + (std::is_floating_point_v<T> ? 0.5 : 0));
    for (const uint64_t address : workload.addresses) {
      if (!(kFull ? workload.memory.WriteFull(address, value) : workload.memory.WriteLean(address, value))) Unmapped();
    }
  }
  return {NowNs() - start, 0};
}

}  // namespace

/** words-read <name> <full|lean> <u64|f64> <passes over all addresses>; check: sum of the values read. */
Answer ReadWords(Arguments& line) {
  const Workload& workload = *workloads.at(Next<std::string>(line));
  const bool full = Next<std::string>(line) == "full";
  const bool real = Next<std::string>(line) == "f64";
  const auto passes = Next<size_t>(line);
  if (real) return full ? ReadAll<double, true>(workload, passes) : ReadAll<double, false>(workload, passes);
  return full ? ReadAll<uint64_t, true>(workload, passes) : ReadAll<uint64_t, false>(workload, passes);
}

/** words-write <name> <full|lean> <u64|f64> <passes>: stores the number of the pass, f64: plus a half. */
Answer WriteWords(Arguments& line) {
  const Workload& workload = *workloads.at(Next<std::string>(line));
  const bool full = Next<std::string>(line) == "full";
  const bool real = Next<std::string>(line) == "f64";
  const auto passes = Next<size_t>(line);
  if (real) return full ? WriteAll<double, true>(workload, passes) : WriteAll<double, false>(workload, passes);
  return full ? WriteAll<uint64_t, true>(workload, passes) : WriteAll<uint64_t, false>(workload, passes);
}

/** words-add <name> <passes>: adds 1 atomically; check: sum of the values before. */
Answer AddWords(Arguments& line) {
  Workload& workload = *workloads.at(Next<std::string>(line));
  const auto passes = Next<size_t>(line);
  uint64_t sum = 0;
  const double start = NowNs();
  for (size_t pass = 0; pass < passes; ++pass) {
    for (const uint64_t address : workload.addresses) {
      uint64_t before;
      if (!workload.memory.FetchAdd(address, 1, before)) Unmapped();
      sum += before;
    }
  }
  return {NowNs() - start, sum};
}

}  // namespace baseline
