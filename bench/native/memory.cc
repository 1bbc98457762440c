// 8-byte accesses by guest physical address as vm-memory (rust-vmm) makes them: a binary search over sorted regions, checked
// sums, one volatile access where it is aligned, and an atomic OR into the region's dirty bitmap where tracking is on. All
// of it in one translation unit, so that the compiler may inline the look-up into the loop, as a Rust release build does.

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
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
};

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
  bool Read(uint64_t address, T& value) const {
    const Region* region = Find(address, sizeof(T));
    if (region == nullptr) return false;
    value = *reinterpret_cast<volatile T*>(region->host + (address - region->guest_address));
    return true;
  }

  template <typename T>
  bool Write(uint64_t address, T value) {
    const Region* region = Find(address, sizeof(T));
    if (region == nullptr) return false;
    const uint64_t offset = address - region->guest_address;
    *reinterpret_cast<volatile T*>(region->host + offset) = value;
    MarkDirty(*region, offset);
    return true;
  }

  bool FetchAdd(uint64_t address, uint64_t operand, uint64_t& before) {
    const Region* region = Find(address, sizeof(uint64_t));
    if (region == nullptr || address % sizeof(uint64_t) != 0) return false;
    const uint64_t offset = address - region->guest_address;
    before = reinterpret_cast<std::atomic<uint64_t>*>(region->host + offset)->fetch_add(operand, std::memory_order_seq_cst);
    MarkDirty(*region, offset);
    return true;
  }

 private:
  const Region* Find(uint64_t address, uint64_t length) const {
    uint64_t end;
    if (__builtin_add_overflow(address, length, &end)) return nullptr;
    auto after = std::upper_bound(regions_.begin(), regions_.end(), address,
                                  [](uint64_t wanted, const Region& region) { return wanted < region.guest_address; });
    if (after == regions_.begin()) return nullptr;
    const Region& region = *std::prev(after);
    return end - region.guest_address <= region.size ? &region : nullptr;
  }

  static void MarkDirty(const Region& region, uint64_t offset) {
    if (region.dirty == nullptr) return;
    const uint64_t page = offset >> 12;
    region.dirty[page >> 6].fetch_or(uint64_t{1} << (page & 63), std::memory_order_seq_cst);
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

template <typename T>
Answer ReadAll(const Workload& workload, size_t passes) {
  T sum{};
  const double start = NowNs();
  for (size_t pass = 0; pass < passes; ++pass) {
    for (const uint64_t address : workload.addresses) {
      T value;
      if (!workload.memory.Read(address, value)) Unmapped();
      sum += value;
    }
  }
  return {NowNs() - start, static_cast<uint64_t>(sum)};
}

template <typename T>
Answer WriteAll(Workload& workload, size_t passes) {
  const double start = NowNs();
  for (size_t pass = 0; pass < passes; ++pass) {
    for (const uint64_t address : workload.addresses) {
      if (!workload.memory.Write(address, static_cast<T>(pass))) Unmapped();
    }
  }
  return {NowNs() - start, 0};
}

}  // namespace

/** words-read <name> <u64|f64> <passes over all addresses>; check: sum of the values read. */
Answer ReadWords(Arguments& line) {
  const Workload& workload = *workloads.at(Next<std::string>(line));
  const bool real = Next<std::string>(line) == "f64";
  const auto passes = Next<size_t>(line);
  return real ? ReadAll<double>(workload, passes) : ReadAll<uint64_t>(workload, passes);
}

/** words-write <name> <u64|f64> <passes>: stores the number of the pass. */
Answer WriteWords(Arguments& line) {
  Workload& workload = *workloads.at(Next<std::string>(line));
  const bool real = Next<std::string>(line) == "f64";
  const auto passes = Next<size_t>(line);
  return real ? WriteAll<double>(workload, passes) : WriteAll<uint64_t>(workload, passes);
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
