// What a guest writes, by KVM's dirty log (plain and manual) and by the kernel's own write tracking.

#include <algorithm>
#include <cstring>
#include <vector>

#include "kvm/abi.h"
#include "kvm/vm.h"
#include "sys/bitmap.h"
#include "sys/fault.h"
#include "sys/page_tracker.h"
#include "test/check.h"
#include "test/machine.h"

namespace {

using test::Cpu;
using test::kOutWriteHalt;
using test::kPages;
using test::Machine;

KVM_TEST(LogsDirtyPages, "the dirty log of a slot whose size is not a multiple of 64 pages, read and cleared") {
  Machine machine(kOutWriteHalt, sizeof(kOutWriteHalt));
  CHECK(machine.ready);
  {
    Cpu cpu(machine, 0);
    CHECK(cpu.ready && cpu.vcpu->Run() == 0 && cpu.vcpu->Run() == 0);
  }
  std::vector<uint8_t> bits(sys::BitmapBytes(3 + kPages));
  std::vector<uint16_t> writers(3 + kPages);
  const sys::PageSink sink{bits, writers.data(), 9};
  auto found = machine.vm->OrDirtyLog(0, sink, 3);
  CHECK(found.ok() && found.value() == 1 && bits[0] == 1u << 5 && writers[5] == 9);
  auto again = machine.vm->OrDirtyLog(0, sink, 3);
  CHECK(again.ok() && again.value() == 0);
  auto unknown = machine.vm->OrDirtyLog(5, sink, 0);
  CHECK(!unknown.ok() && unknown.error().errnum == ENOENT);
  CHECK(machine.vm->SetMemoryRegion(0, machine.SlotAt(0, 0)).ok());
  auto off = machine.vm->OrDirtyLog(0, sink, 0);
  CHECK(!off.ok() && off.error().errnum == ENOENT);
}

KVM_TEST(LogsManually,
         "with the manual log, pages are protected when they are cleared, and a failure reports them again") {
  Machine machine(kOutWriteHalt, sizeof(kOutWriteHalt), 0);
  CHECK(machine.ready);
  auto supported = machine.vm->CheckExtension(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
  if (!supported.ok() || (supported.value() & KVM_DIRTY_LOG_INITIALLY_SET) == 0) return;
  std::vector<uint8_t> bits(sys::BitmapBytes(kPages));
  const sys::PageSink sink{bits};
  CHECK(machine.vm->SetManualLog(true, true).ok());
  CHECK(machine.vm->SetMemoryRegion(0, machine.SlotAt(0, KVM_MEM_LOG_DIRTY_PAGES)).ok());
  auto all = machine.vm->OrDirtyLog(0, sink, 0);
  CHECK(all.ok() && all.value() == kPages);
  auto none = machine.vm->OrDirtyLog(0, sink, 0);
  CHECK(none.ok() && none.value() == 0);

  CHECK(machine.vm->SetMemoryRegion(0, machine.SlotAt(0, 0)).ok());
  CHECK(machine.vm->SetMemoryRegion(0, machine.SlotAt(0, KVM_MEM_LOG_DIRTY_PAGES)).ok());
  CHECK(machine.vm->ClearDirtyLog(0).ok());
  Cpu cpu(machine, 0);
  CHECK(cpu.ready && cpu.vcpu->Run() == 0 && cpu.vcpu->Run() == 0);
  sys::ArmFault("KVM_CLEAR_DIRTY_LOG", 1, ENOMEM);
  auto failed = machine.vm->OrDirtyLog(0, sink, 0);
  CHECK(!failed.ok() && strcmp(failed.error().syscall, "KVM_CLEAR_DIRTY_LOG") == 0);
  std::fill(bits.begin(), bits.end(), uint8_t{0});
  auto again = machine.vm->OrDirtyLog(0, sink, 0);
  CHECK(again.ok() && again.value() == 1 && bits[0] == 1u << 2);
  CHECK(!machine.vm->ClearDirtyLog(5).ok());
  CHECK(machine.vm->SetManualLog(false, false).ok());
}

KVM_TEST(GuestWritesAreTracked, "the kernel's write tracking sees what a guest writes") {
  auto tracker = sys::PageTracker::Open();
  if (!tracker.ok()) return;  // Linux before 6.7
  Machine machine(kOutWriteHalt, sizeof(kOutWriteHalt), 0);
  CHECK(machine.ready);
  const auto address = reinterpret_cast<uintptr_t>(machine.memory.data());
  CHECK(tracker.value().Register(address, machine.memory.size()).ok());
  Cpu cpu(machine, 0);
  CHECK(cpu.ready && cpu.vcpu->Run() == 0 && cpu.vcpu->Run() == 0);
  std::vector<uint8_t> bits(sys::BitmapBytes(kPages));
  auto found = tracker.value().Scan(address, machine.memory.size(), {bits});
  CHECK(found.ok() && found.value() == 1 && bits[0] == 1u << 2);
}

}  // namespace
