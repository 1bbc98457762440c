// The smallest guest machine: a VM with one slot, and vCPUs in real mode. For tests that need a KVM.

#ifndef NODE_KVM_TEST_MACHINE_H_
#define NODE_KVM_TEST_MACHINE_H_

#include <cstring>
#include <memory>
#include <utility>

#include "kvm/abi.h"
#include "kvm/system.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"
#include "sys/mapping.h"
#include "test/check.h"

namespace test {

inline constexpr size_t kPage = 4096;
inline constexpr uint64_t kCode = 0x1000;
// Ends the log's last word early: 70 pages, so that the kernel writes two words and the second is not full.
inline constexpr size_t kPages = 70;

// Real mode, at 0x1000: mov al, 'A'; out 0x10, al; mov [0x2000], al; hlt; jmp $
inline constexpr unsigned char kOutWriteHalt[] = {0xb0, 0x41, 0xe6, 0x10, 0xa2, 0x00, 0x20, 0xf4, 0xeb, 0xfe};
// jmp $
inline constexpr unsigned char kSpin[] = {0xeb, 0xfe};

/** A VM with one slot of memory at 0 and code at 0x1000. */
struct Machine {
  explicit Machine(const unsigned char* code, size_t length, uint32_t flags = KVM_MEM_LOG_DIRTY_PAGES) {
    auto system = kvm::System::Open(test::KvmDevice());
    if (!system.ok()) return;
    auto created = system.value().CreateVm();
    if (!created.ok()) return;
    vm = std::make_unique<kvm::Vm>(std::move(created.value()));
    sys::MapSpec spec;
    spec.size = kPages * kPage;
    auto mapped = sys::Mapping::Create(spec);
    if (!mapped.ok()) return;
    memory = std::move(mapped.value());
    memcpy(static_cast<char*>(memory.data()) + kCode, code, length);
    ready = vm->SetMemoryRegion(0, SlotAt(0, flags)).ok();
  }

  kvm::Slot SlotAt(uint64_t guest_addr, uint32_t flags = 0) const {
    return {guest_addr, memory.size(), reinterpret_cast<uintptr_t>(memory.data()), flags};
  }

  sys::Mapping memory;  // after the VM in destruction: the slots go first
  std::unique_ptr<kvm::Vm> vm;
  bool ready = false;
};

/** A vCPU of the calling thread, in real mode at 0x1000. */
struct Cpu {
  Cpu(const Machine& machine, uint32_t index) {
    auto created = kvm::Vcpu::Create(machine.vm->fd(), index, &stats);
    if (!created.ok()) return;
    vcpu = std::make_unique<kvm::Vcpu>(std::move(created.value()));
    run = static_cast<kvm_run*>(vcpu->run_mapping()->data());
    kvm_sregs sregs;
    if (!vcpu->GetState(kvm::VcpuState::kSregs, &sregs).ok()) return;
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (!vcpu->SetState(kvm::VcpuState::kSregs, &sregs).ok()) return;
    kvm_regs regs = {};
    regs.rip = kCode;
    regs.rflags = 2;
    ready = vcpu->SetState(kvm::VcpuState::kRegs, &regs).ok();
  }

  kvm::VcpuStats stats = {};
  std::unique_ptr<kvm::Vcpu> vcpu;
  kvm_run* run = nullptr;
  bool ready = false;
};

}  // namespace test

#endif  // NODE_KVM_TEST_MACHINE_H_
