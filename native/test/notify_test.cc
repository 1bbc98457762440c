// kvm/vm: ioeventfds and irqfds against a real KVM.

#include <cstring>
#include <memory>
#include <optional>
#include <thread>

#include "kvm/abi.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"
#include "sys/event_fd.h"
#include "sys/fault.h"
#include "test/check.h"
#include "test/machine.h"

namespace {

using test::Cpu;
using test::Machine;

// Real mode, memory ends at 0x46000:
//   mov cx, 100; again: mov al, cl; out 0x10, al; mov [0x8000:0], al (address 0x80000); loop again; hlt
constexpr unsigned char kWrites[] = {
    0xb8, 0x00, 0x80, 0x8e, 0xd8,  // mov ax, 0x8000; mov ds, ax
    0xb9, 0x64, 0x00,              // mov cx, 100
    0x88, 0xc8,                    // again: mov al, cl
    0xe6, 0x10,                    // out 0x10, al
    0xa2, 0x00, 0x00,              // mov [0], al
    0xe2, 0xf7,                    // loop again
    0xf4,                          // hlt
};
constexpr int kRounds = 100;
constexpr kvm::IoWrites kPort = {true, 0x10, 1, std::nullopt};
constexpr kvm::IoWrites kAddress = {false, 0x8'0000, 1, std::nullopt};

std::optional<sys::EventFd> NewEvent() {
  auto created = sys::EventFd::Create();
  if (!created.ok()) return std::nullopt;
  return std::move(created.value());
}

uint64_t Taken(const sys::EventFd& event) {
  auto taken = event.Take();
  return taken.ok() ? taken.value() : UINT64_MAX;
}

/** Runs until the guest halts, or something fails (-1): how many exits there were before. */
int ExitsToHalt(Cpu& cpu) {
  for (int exits = 0;; ++exits) {
    if (cpu.vcpu->Run() != 0) return -1;
    if (cpu.run->exit_reason == KVM_EXIT_HLT) return exits;
    if (cpu.run->exit_reason != KVM_EXIT_IO && cpu.run->exit_reason != KVM_EXIT_MMIO) return -1;
  }
}

KVM_TEST(IoEventFdCounts, "writes to a port and to an address are counted by their events, and are no exits") {
  Machine machine(kWrites, sizeof(kWrites));
  const auto port = NewEvent(), address = NewEvent();
  CHECK(machine.ready && port && address);
  CHECK(machine.vm->AssignIoEventFd(kPort, *port).ok() && machine.vm->AssignIoEventFd(kAddress, *address).ok());
  Cpu cpu(machine, 0);
  CHECK(cpu.ready && ExitsToHalt(cpu) == 0);
  CHECK(Taken(*port) == kRounds && Taken(*address) == kRounds);
}

KVM_TEST(IoEventFdMatches, "with a value, writes of that value alone signal; of another length, none") {
  Machine machine(kWrites, sizeof(kWrites));
  const auto seven = NewEvent(), eight = NewEvent(), any = NewEvent(), wide = NewEvent();
  CHECK(machine.ready && seven && eight && any && wide);
  CHECK(machine.vm->AssignIoEventFd({true, 0x10, 1, 7}, *seven).ok());
  CHECK(machine.vm->AssignIoEventFd({true, 0x10, 1, 8}, *eight).ok());
  CHECK(machine.vm->AssignIoEventFd({true, 0x10, 2, std::nullopt}, *wide).ok());
  CHECK(machine.vm->AssignIoEventFd({false, 0x8'0000, 0, std::nullopt}, *any).ok());
  Cpu cpu(machine, 0);
  CHECK(cpu.ready && ExitsToHalt(cpu) == kRounds - 2);
  CHECK(Taken(*seven) == 1 && Taken(*eight) == 1 && Taken(*wide) == 0 && Taken(*any) == kRounds);
}

KVM_TEST(IoEventFdDeassigned, "after deassigning, and after a failed assignment, writes are exits") {
  Machine machine(kWrites, sizeof(kWrites));
  const auto event = NewEvent(), other = NewEvent();
  CHECK(machine.ready && event && other);
  CHECK(machine.vm->AssignIoEventFd(kPort, *event).ok());
  auto twice = machine.vm->AssignIoEventFd(kPort, *other);
  CHECK(!twice.ok() && twice.error().errnum == EEXIST && strcmp(twice.error().syscall, "KVM_IOEVENTFD") == 0);
  auto wrong = machine.vm->DeassignIoEventFd(kPort, *other);
  CHECK(!wrong.ok() && wrong.error().errnum == ENOENT);
  CHECK(machine.vm->DeassignIoEventFd(kPort, *event).ok());
  auto gone = machine.vm->DeassignIoEventFd(kPort, *event);
  CHECK(!gone.ok() && gone.error().errnum == ENOENT);
  sys::ArmFault("KVM_IOEVENTFD", 1, ENOSPC);
  CHECK(!machine.vm->AssignIoEventFd(kAddress, *event).ok());
  auto impossible = machine.vm->AssignIoEventFd({false, 0x8'0000, 3, std::nullopt}, *event);
  CHECK(!impossible.ok() && impossible.error().errnum == EINVAL);
  Cpu cpu(machine, 0);
  CHECK(cpu.ready && ExitsToHalt(cpu) == 2 * kRounds);
  CHECK(Taken(*event) == 0 && Taken(*other) == 0);
}

KVM_TEST(IoEventFdOutlivesItsOwner, "a guest writes on where the event was closed, and where its VM's owner is gone") {
  Machine machine(kWrites, sizeof(kWrites));
  auto port = NewEvent();
  const auto address = NewEvent();
  CHECK(machine.ready && port && address);
  CHECK(machine.vm->AssignIoEventFd(kPort, *port).ok() && machine.vm->AssignIoEventFd(kAddress, *address).ok());
  port.reset();
  Cpu cpu(machine, 0);
  CHECK(cpu.ready && ExitsToHalt(cpu) == 0);
  machine.vm->Close();
  CHECK(Taken(*address) == kRounds);
  CHECK(!machine.vm->AssignIoEventFd(kPort, *address).ok());
}

// Real mode: the PIC with vectors from 0x20 on and IRQ 5 alone; [0x94] = handler; out 0x10; sti; wait: hlt; jmp wait.
// handler: out 0x11; EOI; iret. With IRQ 5 as a level (ELCR).
constexpr unsigned char kHandlesIrq5[] = {
    0xb0, 0x11, 0xe6, 0x20,              // mov al, 0x11; out 0x20, al     ICW1
    0xb0, 0x20, 0xe6, 0x21,              // mov al, 0x20; out 0x21, al     ICW2
    0xb0, 0x04, 0xe6, 0x21,              // mov al, 0x04; out 0x21, al     ICW3
    0xb0, 0x01, 0xe6, 0x21,              // mov al, 0x01; out 0x21, al     ICW4
    0xb0, 0xdf, 0xe6, 0x21,              // mov al, 0xdf; out 0x21, al     mask
    0xba, 0xd0, 0x04, 0x8a, 0xc3, 0xee,  // mov dx, 0x4d0; mov al, bl; out dx, al
    0xc7, 0x06, 0x94, 0x00, 0x2c, 0x10,  // mov word [0x94], 0x102c
    0xc7, 0x06, 0x96, 0x00, 0x00, 0x00,  // mov word [0x96], 0
    0xe6, 0x10,                          // out 0x10, al
    0xfb,                                // sti
    0xf4,                                // wait: hlt
    0xeb, 0xfd,                          // jmp wait
    0xe6, 0x11,                          // 0x102c: out 0x11, al
    0xb0, 0x20, 0xe6, 0x20,              // mov al, 0x20; out 0x20, al     EOI
    0xe6, 0x12,                          // out 0x12, al
    0xcf,                                // iret
};
static_assert(kHandlesIrq5[0x2c] == 0xe6 && kHandlesIrq5[0x2d] == 0x11);

/** The port of the next exit; 0: another exit, or a failure. */
uint16_t NextPort(Cpu& cpu) {
  return cpu.vcpu->Run() == 0 && cpu.run->exit_reason == KVM_EXIT_IO ? cpu.run->io.port : 0;
}

/** The guest that handles IRQ 5, up to its first hlt: as a level or by edges. */
struct IrqMachine {
  explicit IrqMachine(bool level) : machine(kHandlesIrq5, sizeof(kHandlesIrq5), 0) {
    if (!machine.ready || !machine.vm->CreateIrqchip().ok()) return;
    cpu = std::make_unique<Cpu>(machine, 0);
    kvm_regs regs;
    if (!cpu->ready || !cpu->vcpu->GetState(kvm::VcpuState::kRegs, &regs).ok()) return;
    regs.rbx = level ? 0x20 : 0;
    regs.rsp = 0x8000;
    ready = cpu->vcpu->SetState(kvm::VcpuState::kRegs, &regs).ok() && NextPort(*cpu) == 0x10;
  }

  Machine machine;
  std::unique_ptr<Cpu> cpu;
  bool ready = false;
};

KVM_TEST(IrqFdInterrupts, "signals of another thread interrupt the guest, one by one; after deassigning they don't") {
  IrqMachine guest(false);
  const auto event = NewEvent();
  CHECK(guest.ready && event);
  CHECK(guest.machine.vm->AssignIrqFd(5, *event, nullptr).ok());
  auto twice = guest.machine.vm->AssignIrqFd(5, *event, nullptr);
  CHECK(!twice.ok() && twice.error().errnum == EBUSY && strcmp(twice.error().syscall, "KVM_IRQFD") == 0);
  for (int i = 0; i < 10; ++i) {
    std::thread other([&] { CHECK(event->Signal().ok()); });
    const uint16_t handled = NextPort(*guest.cpu), acknowledged = NextPort(*guest.cpu);
    other.join();
    CHECK(handled == 0x11 && acknowledged == 0x12);
  }
  CHECK(Taken(*event) == 0);
  CHECK(guest.machine.vm->DeassignIrqFd(5, *event).ok());
  CHECK(event->Signal().ok() && Taken(*event) == 1);
}

KVM_TEST(IrqFdResamples,
         "a level stays raised until the guest has acknowledged it, which signals the resampling event") {
  IrqMachine guest(true);
  const auto event = NewEvent(), resample = NewEvent();
  CHECK(guest.ready && event && resample);
  CHECK(guest.machine.vm->AssignIrqFd(5, *event, &*resample).ok());
  for (int i = 0; i < 10; ++i) {
    CHECK(event->Signal().ok());
    CHECK(NextPort(*guest.cpu) == 0x11 && Taken(*resample) == 0);
    CHECK(NextPort(*guest.cpu) == 0x12);
    auto told = resample->Wait(10'000);
    CHECK(told.ok() && told.value() && Taken(*resample) == 1);
  }
  CHECK(guest.machine.vm->DeassignIrqFd(5, *event).ok());
}

KVM_TEST(IrqFdRefused, "without an interrupt controller there is no irqfd") {
  Machine machine(test::kSpin, sizeof(test::kSpin));
  const auto event = NewEvent();
  CHECK(machine.ready && event);
  auto none = machine.vm->AssignIrqFd(5, *event, nullptr);
  CHECK(!none.ok() && none.error().errnum == EINVAL);
  CHECK(event->Signal().ok() && Taken(*event) == 1);
}

}  // namespace
