// The protocol of the dirty rings, against a thread in the kernel's place; then the rings of a real KVM.

#include "kvm/dirty_ring.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "kvm/dirty_rings.h"
#include "kvm/system.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"
#include "sys/fault.h"
#include "sys/mapping.h"
#include "test/check.h"

namespace {

constexpr uint64_t kPage = 4096;

/** The kernel's side of a ring (virt/kvm/dirty_ring.c): it pushes where there is room, and resets what was given back.
 */
struct Producer {
  explicit Producer(uint32_t size) : entries(size) {}

  bool Push(uint32_t slot, uint64_t offset) {
    if (pushed - reset == entries.size()) return false;
    kvm_dirty_gfn& entry = entries[pushed % entries.size()];
    entry.slot = slot;
    entry.offset = offset;
    __atomic_store_n(&entry.flags, uint32_t{KVM_DIRTY_GFN_F_DIRTY}, __ATOMIC_RELEASE);
    ++pushed;
    return true;
  }
  /** As KVM_RESET_DIRTY_RINGS: offsets of what was reset go to `watch`. */
  template <typename Watch>
  void Reset(Watch watch) {
    for (; reset != pushed; ++reset) {
      kvm_dirty_gfn& entry = entries[reset % entries.size()];
      if ((__atomic_load_n(&entry.flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_RESET) == 0) break;
      watch(entry.offset);
      __atomic_store_n(&entry.flags, uint32_t{0}, __ATOMIC_RELEASE);
    }
  }

  std::vector<kvm_dirty_gfn> entries;
  uint64_t pushed = 0;
  uint64_t reset = 0;
};

TEST(TakesEntriesInOrder, "entries are taken in order and once, and reused when they were reset") {
  Producer producer(8);
  kvm::DirtyRing ring(producer.entries.data(), 8);
  uint64_t expected = 0;
  uint64_t next = 0;
  std::mt19937 random(1);
  for (int round = 0; round < 1'000; ++round) {
    const uint64_t room = 8 - (producer.pushed - producer.reset);
    for (uint64_t left = random() % (room + 1); left > 0; --left) CHECK(producer.Push(3, next++));
    bool in_order = true;
    const uint32_t taken = ring.Take([&](uint32_t slot, uint64_t offset) {
      in_order = in_order && slot == 3 && offset == expected;
      ++expected;
    });
    CHECK(in_order && expected == next && taken <= 8 && ring.Take([](uint32_t, uint64_t) {}) == 0);
    if (random() % 2 == 0) producer.Reset([](uint64_t) {});
  }
}

TEST(LosesNoEntry,
     "a thread pushes pages as it writes them while others are taken: a copy of what is taken ends equal") {
  constexpr uint32_t kPages = 97;
  constexpr uint64_t kWrites = 60'000;
  Producer producer(16);
  kvm::DirtyRing ring(producer.entries.data(), 16);
  // What the kernel knows of each page: watched = a write pushes an entry. Guarded by the mutex, as by KVM's MMU lock.
  std::mutex mutex;
  std::vector<bool> watched(kPages, true);
  std::vector<uint64_t> memory(kPages), copy(kPages);
  std::atomic<bool> done{false};
  std::thread guest([&] {
    std::mt19937 random(7);
    for (uint64_t value = 1; value <= kWrites;) {
      const uint32_t page = random() % kPages;
      {
        const std::lock_guard lock(mutex);
        if (!watched[page] || producer.Push(0, page)) {
          watched[page] = false;
          __atomic_store_n(&memory[page], value++, __ATOMIC_RELEASE);
          continue;
        }
      }
      std::this_thread::yield();  // the ring is full: the guest is out until it was reset
    }
    done = true;
  });
  kvm::GatheredPages gathered(kPages);
  for (bool last = false; !last;) {
    last = done;
    ring.Take([&](uint32_t, uint64_t offset) { gathered.Add(offset, kvm::kVcpuWriter); });
    {
      const std::lock_guard lock(mutex);
      producer.Reset([&](uint64_t offset) { watched[offset] = true; });
    }
    std::vector<uint8_t> bits(sys::BitmapBytes(kPages));
    gathered.MoveTo({bits}, 0);
    for (uint32_t page = 0; page < kPages; ++page) {
      if ((bits[page / 8] >> (page % 8) & 1) == 1) copy[page] = __atomic_load_n(&memory[page], __ATOMIC_ACQUIRE);
    }
  }
  guest.join();
  CHECK(copy == memory);
}

TEST(GathersPages, "gathered pages are handed over once, with their writers; others are refused") {
  kvm::GatheredPages gathered(70);
  CHECK(gathered.Add(0, 0x8001) && gathered.Add(69, 0x8002) && gathered.Add(69, 0x8003));
  CHECK(!gathered.Add(70, 0x8001) && !gathered.Add(~uint64_t{0}, 0x8001));
  std::vector<uint8_t> bits(10);
  std::vector<uint16_t> writers(75);
  CHECK(gathered.MoveTo({bits, writers.data(), 0x4000}, 5) == 2);
  CHECK(bits[0] == 1u << 5 && bits[9] == 1u << 2 && writers[5] == 0x8001 && writers[74] == 0x8003 && writers[6] == 0);
  CHECK(gathered.MoveTo({bits, writers.data(), 0x4000}, 5) == 0);
}

TEST(LostEntriesMeanAll, "once entries were lost, every page is dirty, again and again") {
  kvm::GatheredPages gathered(70);
  gathered.Add(3, 0x8001);
  gathered.AddAllForGood();
  for (int round = 0; round < 2; ++round) {
    std::vector<uint8_t> bits(9);
    std::vector<uint16_t> writers(70);
    CHECK(gathered.MoveTo({bits, writers.data(), 0x4000}, 0) == 70);
    CHECK(sys::CountBits(bits.data(), 0, 70) == 70 && bits[8] == 0x3f);
    CHECK(writers[3] == (round == 0 ? 0x8001 : 0x4000) && writers[69] == 0x4000);
  }
}

// Real mode, at 0x1000: writes a byte to each page from 0x2000 to 0x9000, then halts.
//   mov bx, 0x2000; l: mov [bx], al; add bx, 0x1000; cmp bx, 0xa000; jne l; hlt; jmp $
constexpr unsigned char kWriteEight[] = {0xbb, 0x00, 0x20, 0x88, 0x07, 0x81, 0xc3, 0x00, 0x10,
                                         0x81, 0xfb, 0x00, 0xa0, 0x75, 0xf4, 0xf4, 0xeb, 0xfe};
constexpr uint32_t kEntries = 1024;
constexpr uint64_t kSlotPages = 20;

/** A VM with rings, one logging slot and a vCPU of the calling thread at 0x1000. */
struct RingMachine {
  RingMachine() {
    auto system = kvm::System::Open(test::KvmDevice());
    if (!system.ok()) return;
    auto rings = system.value().CheckExtension(KVM_CAP_DIRTY_LOG_RING);
    supported = rings.ok() && rings.value() > 0;
    auto created = system.value().CreateVm();
    sys::MapSpec spec;
    spec.size = kSlotPages * kPage;
    auto mapped = sys::Mapping::Create(spec);
    if (!supported || !created.ok() || !mapped.ok()) return;
    memory = std::move(mapped.value());
    memcpy(static_cast<char*>(memory.data()) + kPage, kWriteEight, sizeof(kWriteEight));
    vm = std::make_unique<kvm::Vm>(std::move(created.value()));
    if (!vm->EnableDirtyRing(kEntries).ok() || !Log(KVM_MEM_LOG_DIRTY_PAGES).ok()) return;
    auto cpu = kvm::Vcpu::Create(vm->fd(), 0, &stats);
    if (!cpu.ok()) return;
    vcpu = std::make_unique<kvm::Vcpu>(std::move(cpu.value()));
    kvm_sregs sregs;
    if (!vcpu->GetState(kvm::VcpuState::kSregs, &sregs).ok()) return;
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    ready = vcpu->SetState(kvm::VcpuState::kSregs, &sregs).ok();
  }

  sys::Result<void> Log(uint32_t flags) {
    return vm->SetMemoryRegion(0, {0, memory.size(), reinterpret_cast<uintptr_t>(memory.data()), flags});
  }
  /** Runs the guest's loop from its beginning to the halt. */
  bool Run() {
    kvm_regs regs = {};
    regs.rip = kPage;
    regs.rflags = 2;
    if (!vcpu->SetState(kvm::VcpuState::kRegs, &regs).ok()) return false;
    int outcome;
    do {
      outcome = vcpu->Run();
    } while (outcome == -EINTR);
    return outcome == 0;
  }
  /** Whether exactly (or, from a KVM that reports more, at least) the eight pages are dirty, written by vCPU 0. */
  bool ReportsEight() {
    std::vector<uint8_t> bits(sys::BitmapBytes(kSlotPages));
    std::vector<uint16_t> writers(kSlotPages);
    auto found = vm->OrDirtyLog(0, {bits, writers.data(), 0x4000}, 0);
    if (!found.ok()) return false;
    for (uint64_t page = 2; page < 10; ++page) {
      if ((bits[page / 8] >> (page % 8) & 1) == 0 || writers[page] != kvm::kVcpuWriter) return false;
    }
    return true;
  }
  bool ReportsNone() {
    std::vector<uint8_t> bits(sys::BitmapBytes(kSlotPages));
    auto found = vm->OrDirtyLog(0, {bits}, 0);
    return found.ok() && found.value() == 0;
  }

  sys::Mapping memory;
  kvm::VcpuStats stats = {};
  std::unique_ptr<kvm::Vm> vm;
  std::unique_ptr<kvm::Vcpu> vcpu;
  bool supported = false;
  bool ready = false;
};

KVM_TEST(RingsReportGuestWrites, "what a guest writes is in its ring, again after each reset") {
  RingMachine machine;
  if (!machine.supported) return;
  CHECK(machine.ready);
  for (int round = 0; round < 3; ++round) {
    CHECK(machine.Run());
    auto taken = machine.vm->rings()->Collect();
    CHECK(taken.ok() && taken.value() >= 8);
    CHECK(machine.ReportsEight() && machine.ReportsNone());
  }
  const kvm::RingCounters counters = machine.vm->rings()->Counters(0);
  CHECK(counters.entries >= 24 && counters.overflows == 0 && counters.full_exits == 0);
  CHECK(machine.vm->rings()->Counters(5).entries == 0);
  CHECK(machine.vm->rings()->Collect().value() == 0);
}

KVM_TEST(RingsSurviveFailures, "a reset that fails loses nothing: the next call has it") {
  RingMachine machine;
  if (!machine.supported) return;
  CHECK(machine.ready && machine.Run());
  sys::ArmFault("KVM_RESET_DIRTY_RINGS", 1, ENOMEM);
  auto failed = machine.vm->rings()->Collect();
  CHECK(!failed.ok() && strcmp(failed.error().syscall, "KVM_RESET_DIRTY_RINGS") == 0);
  CHECK(machine.vm->rings()->Collect().ok() && machine.ReportsEight());
  CHECK(machine.Run() && machine.vm->rings()->Collect().ok() && machine.ReportsEight());
}

KVM_TEST(RingsOutliveVcpus, "the last entries of a vCPU that is closed are kept; those of a deleted slot are not") {
  RingMachine machine;
  if (!machine.supported) return;
  CHECK(machine.ready && machine.Run());
  machine.vcpu->Close();
  CHECK(machine.vm->rings()->Collect().ok() && machine.ReportsEight());
}

KVM_TEST(RingsForgetSlots, "a slot that is made anew, or logs anew, begins clean") {
  RingMachine machine;
  if (!machine.supported) return;
  CHECK(machine.ready && machine.Run());
  CHECK(machine.Log(0).ok());
  std::vector<uint8_t> bits(sys::BitmapBytes(kSlotPages));
  auto off = machine.vm->OrDirtyLog(0, {bits}, 0);
  CHECK(!off.ok() && off.error().errnum == ENOENT);
  CHECK(machine.Log(KVM_MEM_LOG_DIRTY_PAGES).ok() && machine.vm->rings()->Collect().ok() && machine.ReportsNone());
  CHECK(machine.Run() && machine.vm->SetMemoryRegion(0, {}).ok());
  CHECK(machine.Log(KVM_MEM_LOG_DIRTY_PAGES).ok() && machine.vm->rings()->Collect().ok() && machine.ReportsNone());
  CHECK(machine.Run() && machine.vm->rings()->Collect().ok() && machine.ReportsEight());
}

KVM_TEST(RingsOutliveTheVm, "a vCPU that outlives its VM closes in peace, and the VM's descriptor is forgotten") {
  RingMachine machine;
  if (!machine.supported) return;
  CHECK(machine.ready && machine.Run());
  const int fd = machine.vm->fd();
  CHECK(kvm::DirtyRings::Find(fd) != nullptr);
  CHECK(machine.vm->Close().empty() && kvm::DirtyRings::Find(fd) == nullptr);
  machine.vcpu->Close();
}

KVM_TEST(RingsAreEmptiedWhileVcpusRunAndClose, "rings are collected while vCPUs run, fill them, come and go") {
  RingMachine machine;
  if (!machine.supported) return;
  CHECK(machine.ready);
  std::atomic<bool> done{false};
  std::thread collector([&] {
    while (!done) {
      CHECK(machine.vm->rings()->Collect().ok());
      std::this_thread::yield();
    }
  });
  std::thread other([&] {
    kvm::VcpuStats stats = {};
    for (uint32_t index = 1; index < 6; ++index) {
      auto cpu = kvm::Vcpu::Create(machine.vm->fd(), index, &stats);
      CHECK(cpu.ok());
    }
  });
  for (int round = 0; round < 50; ++round) CHECK(machine.Run());
  other.join();
  done = true;
  collector.join();
  // The collector may have come to its end before the guest did.
  CHECK(machine.vm->rings()->Collect().ok());
  CHECK(machine.ReportsEight());
}

KVM_TEST(RingsAreEnabledOnce, "rings are enabled once, before vCPUs, and with a size that KVM has") {
  RingMachine machine;
  if (!machine.supported) return;
  CHECK(machine.ready);
  CHECK(!machine.vm->EnableDirtyRing(kEntries).ok() && machine.vm->rings() != nullptr);
  auto system = kvm::System::Open(test::KvmDevice());
  auto vm = system.value().CreateVm();
  CHECK(vm.ok());
  auto big = vm.value().EnableDirtyRing(1u << 30);
  CHECK(!big.ok() && big.error().errnum != 0 && strcmp(big.error().syscall, "KVM_ENABLE_CAP") == 0);
  sys::ArmFault("KVM_ENABLE_CAP", 1, ENOMEM);
  CHECK(!vm.value().EnableDirtyRing(kEntries).ok() && vm.value().rings() == nullptr);
  CHECK(vm.value().EnableDirtyRing(kEntries).ok());
}

}  // namespace
