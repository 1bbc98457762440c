// The commands of the dirty-tracking baselines: memory that a bare VM's guest, host code through a bitmap, or raw stores dirty,
// page by page in a given order, and a source that finds the pages again. vCPUs sleep on their threads between rounds.

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "bare_vm.h"
#include "baseline.h"
#include "dirty_sources.h"

namespace baseline {

namespace {

constexpr size_t kCodeMemory = 4 << 20;
/** Slot 0 is the memory of the code and the tables; it is tracked like any other. */
constexpr uint32_t kFirstDataSlot = 1;

/** What a guest reads from its ports, in this order: as bench/dirty/writer-guest.ts writes it. */
struct WriteOrder {
  uint32_t count, seed, multiplier, increment, mask, first_page, threshold;
};
constexpr size_t kOrderWords = sizeof(WriteOrder) / sizeof(uint32_t);
constexpr uint16_t kWriterPorts = 0x1000;
constexpr uint16_t kPortsPerVcpu = 32;

/** A vCPU on a thread of its own. Its guest waits for an order at its first port. */
class Writer {
 public:
  Writer(BareVm& vm, DirtySource& source, int index) {
    thread_ = std::thread([this, &vm, &source, index] { Drive(vm, source, index); });
    AwaitIdle();
  }
  ~Writer() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void Begin(const WriteOrder& order) {
    {
      const std::lock_guard lock(mutex_);
      order_ = order;
      idle_ = false;
    }
    changed_.notify_all();
  }

  /** Returns the nanoseconds from the guest's last order word to its next wait, by the vCPU's own thread. */
  double AwaitIdle() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return idle_; });
    return end_ - start_;
  }

 private:
  void Drive(BareVm& vm, DirtySource& source, int index) {
    const auto vcpu = vm.MakeVcpu(index);
    AddRing(source, *vcpu);
    for (;;) {
      vcpu->Run();
      kvm_run* run = vcpu->run();
      if (run->exit_reason != KVM_EXIT_IO) {
        if (source.Serve(*vcpu)) continue;
        errno = EPROTO;
        std::fprintf(stderr, "exit reason %u\n", run->exit_reason);
        Fail("unexpected exit of a writer");
      }
      const size_t word = (run->io.port - kWriterPorts) % kPortsPerVcpu / sizeof(uint32_t);
      if (word == 0 && !AwaitOrder()) return;
      std::memcpy(vcpu->io_data(), reinterpret_cast<const uint32_t*>(&order_) + word, sizeof(uint32_t));
      if (word + 1 == kOrderWords) start_ = NowNs();
    }
  }

  /** False when it is over. */
  bool AwaitOrder() {
    std::unique_lock lock(mutex_);
    end_ = NowNs();
    idle_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return over_ || !idle_; });
    return !over_;
  }

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  WriteOrder order_{};
  bool idle_ = false;
  bool over_ = false;
  double start_ = 0;
  double end_ = 0;
};

struct TrackedMemory {
  /** Without a VM: memory at address 0 that nothing runs in, as the library has it. */
  uint8_t* base = nullptr;
  uint8_t* host = nullptr;
  uint64_t bytes = 0;
  std::unique_ptr<BareVm> vm;
  std::vector<Slot> slots;
  std::unique_ptr<DirtySource> source;
  std::vector<std::unique_ptr<Writer>> writers;
  std::unique_ptr<Ranges> ranges;
  /** API writes are to be marked: tracking is on, and the source does not see host stores by itself. */
  bool marking = false;
  bool sees_stores = false;

  ~TrackedMemory() {
    writers.clear();
    source.reset();
    vm.reset();
    if (base != nullptr) munmap(base, kCodeMemory);
    munmap(host, bytes);
  }
};

std::map<std::string, std::unique_ptr<TrackedMemory>> memories;

constexpr int kRehearsals = 30;
constexpr uint64_t kHugePage = uint64_t{2} << 20;

uint8_t* MapData(uint64_t bytes, bool huge) {
  const uint64_t spare = bytes + kHugePage;
  void* memory = mmap(nullptr, spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) Fail("mmap");
  auto* begin = static_cast<uint8_t*>(memory);
  auto* aligned = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(begin) + kHugePage - 1) / kHugePage * kHugePage);
  if (aligned > begin) munmap(begin, static_cast<size_t>(aligned - begin));
  munmap(aligned + bytes, spare - bytes - static_cast<size_t>(aligned - begin));
  if (huge) Checked(madvise(aligned, bytes, MADV_HUGEPAGE), "madvise(MADV_HUGEPAGE)");
  return aligned;
}

TrackedMemory& Named(Arguments& line) { return *memories.at(Next<std::string>(line)); }

/** Pages and ranges of the data in the last harvest, as one number. */
uint64_t Check(const Ranges& ranges) {
  double bytes = 0;
  uint64_t count = 0;
  for (size_t i = 0; i < ranges.size(); i += 2) {
    if (ranges.values()[i] < static_cast<double>(kHighAddress)) continue;
    bytes += ranges.values()[i + 1];
    ++count;
  }
  return static_cast<uint64_t>(bytes) / kPageSize << 32 | count;
}

Slot MakeSlot(uint32_t id, uint64_t guest_address, uint64_t bytes, uint8_t* host) {
  Slot slot{id, guest_address, bytes, host, nullptr};
  slot.written = std::make_unique<std::atomic<uint64_t>[]>(slot.words());
  return slot;
}

}  // namespace

/**
 * dirty-open <name> <source> <bytes> <slots> <vcpus> <ring entries> <huge 0|1> <populate 0|1> <code in hex>: 0 vCPUs: no KVM. Tracking is off.
 * check: host address of the memory.
 */
Answer OpenDirty(Arguments& line) {
  const auto name = Next<std::string>(line);
  const auto source = Next<std::string>(line);
  auto memory = std::make_unique<TrackedMemory>();
  memory->bytes = Next<uint64_t>(line);
  const auto slots = Next<uint32_t>(line);
  const auto vcpus = Next<int>(line);
  const auto ring_entries = Next<uint32_t>(line);
  const bool huge = Next<int>(line) != 0;
  const bool populate = Next<int>(line) != 0;
  const auto code = FromHex(Next<std::string>(line));
  memory->host = MapData(memory->bytes, huge);
  if (populate) std::memset(memory->host, 1, memory->bytes);
  memory->ranges = std::make_unique<Ranges>((memory->bytes + kCodeMemory) / kPageSize);
  memory->sees_stores = source == "pagemap";
  if (vcpus > 0) memory->vm = std::make_unique<BareVm>(kCodeMemory, code, 64, memory->bytes);
  if (!memory->vm) memory->base = MapData(kCodeMemory, false);
  memory->slots.push_back(MakeSlot(0, 0, kCodeMemory, memory->vm ? memory->vm->memory() : memory->base));
  const uint64_t pages = memory->bytes / kPageSize;
  for (uint32_t i = 0; i < slots; ++i) {
    const uint64_t first = pages * i / slots * kPageSize;
    const uint64_t end = pages * (i + 1) / slots * kPageSize;
    memory->slots.push_back(MakeSlot(kFirstDataSlot + i, kHighAddress + first, end - first, memory->host + first));
    if (!memory->vm) continue;
    const Slot& slot = memory->slots.back();
    kvm_userspace_memory_region region{slot.id, 0, slot.guest_address, slot.bytes, reinterpret_cast<uint64_t>(slot.host)};
    Checked(ioctl(memory->vm->fd(), KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  }
  memory->source = MakeDirtySource(source, memory->vm.get(), memory->slots, ring_entries);
  for (int i = 0; i < vcpus; ++i) memory->writers.push_back(std::make_unique<Writer>(*memory->vm, *memory->source, i));
  const auto host = reinterpret_cast<uint64_t>(memory->host);
  memories[name] = std::move(memory);
  return {0, host};
}

/** dirty-close <name> */
Answer CloseDirty(Arguments& line) {
  memories.erase(Next<std::string>(line));
  return {};
}

/** dirty-start <name>: tracking on. */
Answer StartDirty(Arguments& line) {
  TrackedMemory& memory = Named(line);
  const double start = NowNs();
  memory.source->Start();
  const double nanoseconds = NowNs() - start;
  memory.marking = !memory.sees_stores;
  return {nanoseconds, 0};
}

/** dirty-stop <name>: tracking off, with a last harvest, as the library's. */
Answer StopDirty(Arguments& line) {
  TrackedMemory& memory = Named(line);
  const double start = NowNs();
  memory.source->Harvest(*memory.ranges);
  memory.source->Stop();
  memory.marking = false;
  return {NowNs() - start, Check(*memory.ranges)};
}

/**
 * dirty-harvest <name> <times> <other name or ->: nanoseconds of all; check: pages << 32 | ranges of the last. Before, and not timed,
 * `kRehearsals` harvests of the other memory, whose first page is written for each.
 */
Answer HarvestDirty(Arguments& line) {
  TrackedMemory& memory = Named(line);
  const auto times = Next<int>(line);
  const auto other = Next<std::string>(line);
  for (int i = 0; other != "-" && i < kRehearsals; ++i) {
    TrackedMemory& rehearsed = *memories.at(other);
    Slot& slot = rehearsed.slots.back();
    *reinterpret_cast<volatile uint32_t*>(slot.host) = 1;
    if (rehearsed.marking) slot.MarkWritten(0);
    rehearsed.source->Harvest(*rehearsed.ranges);
  }
  const double start = NowNs();
  for (int i = 0; i < times; ++i) memory.source->Harvest(*memory.ranges);
  return {NowNs() - start, Check(*memory.ranges)};
}

/** dirty-get <name>, dirty-clear <name>: the kernel's two halves of a harvest, of every slot. */
Answer GetDirty(Arguments& line) {
  TrackedMemory& memory = Named(line);
  const double start = NowNs();
  memory.source->Get();
  return {NowNs() - start, 0};
}

Answer ClearDirty(Arguments& line) {
  TrackedMemory& memory = Named(line);
  const double start = NowNs();
  memory.source->Clear();
  return {NowNs() - start, 0};
}

/**
 * dirty-guest <name> <pages from one vCPU's range to the next's> <order: 7 numbers>: every vCPU's guest carries out the order in its range.
 * One vCPU: nanoseconds by its own thread; several: from the start until the last is done.
 */
Answer WriteByGuest(Arguments& line) {
  TrackedMemory& memory = Named(line);
  const auto stride = Next<uint32_t>(line);
  uint32_t words[kOrderWords];
  for (uint32_t& word : words) word = Next<uint32_t>(line);
  WriteOrder order;
  std::memcpy(&order, words, sizeof order);
  const double start = NowNs();
  for (auto& writer : memory.writers) {
    writer->Begin(order);
    order.first_page += stride;
  }
  double own = 0;
  for (auto& writer : memory.writers) own = writer->AwaitIdle();
  return {memory.writers.size() == 1 ? own : NowNs() - start, 0};
}

/** dirty-host <name> <api|raw> <count> <seed> <multiplier> <increment> <mask>: 4-byte stores by this thread, the API's with their mark. */
Answer WriteByHost(Arguments& line) {
  TrackedMemory& memory = Named(line);
  const bool api = Next<std::string>(line) == "api";
  const auto count = Next<uint32_t>(line);
  auto page = Next<uint32_t>(line);
  const auto multiplier = Next<uint32_t>(line);
  const auto increment = Next<uint32_t>(line);
  const auto mask = Next<uint32_t>(line);
  const bool mark = api && memory.marking;
  Slot& slot = memory.slots.back();
  const double start = NowNs();
  for (uint32_t i = 0; i < count; ++i) {
    page = (page * multiplier + increment) & mask;
    if (page >= slot.pages()) Fail("a page outside the slot");
    *reinterpret_cast<volatile uint32_t*>(slot.host + uint64_t{page} * kPageSize) = i;
    if (mark) slot.MarkWritten(page);
  }
  return {NowNs() - start, 0};
}

}  // namespace baseline
