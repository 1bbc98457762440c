// kvm/ against a real KVM: slots, dirty log, KVM_RUN and how it is ended, with several vCPUs at once.

#include <atomic>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kvm/abi.h"
#include "kvm/system.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"
#include "sys/fault.h"
#include "sys/kick.h"
#include "sys/mapping.h"
#include "test/check.h"
#include "test/machine.h"

namespace {

using test::Cpu;
using test::kCode;
using test::kOutWriteHalt;
using test::kPage;
using test::kSpin;
using test::Machine;

KVM_TEST(DescribesTheHost, "the system's answers: version, capabilities, CPUID, MSRs") {
  auto system = kvm::System::Open(test::KvmDevice());
  CHECK(system.ok());
  auto version = system.value().ApiVersion();
  CHECK(version.ok() && version.value() == KVM_API_VERSION);
  auto memory = system.value().CheckExtension(KVM_CAP_USER_MEMORY);
  CHECK(memory.ok() && memory.value() > 0);
  auto cpuid = system.value().SupportedCpuid();
  CHECK(cpuid.ok() && !cpuid.value().empty() && cpuid.value().size() % sizeof(kvm_cpuid_entry2) == 0);
  auto msrs = system.value().MsrIndexList();
  CHECK(msrs.ok() && !msrs.value().empty());
}

TEST(RefusesOtherDevices, "what is no KVM is refused at the first call") {
  auto missing = kvm::System::Open("/nonexistent/kvm");
  CHECK(!missing.ok() && missing.error().errnum == ENOENT && strcmp(missing.error().syscall, "open") == 0);
  auto null = kvm::System::Open("/dev/null");
  CHECK(null.ok());
  auto version = null.value().ApiVersion();
  CHECK(!version.ok() && version.error().errnum == ENOTTY);
  auto vm = null.value().CreateVm();
  CHECK(!vm.ok());
}

TEST(AttachesToVmsOnly, "only a VM's descriptor is attached") {
  auto closed = kvm::Vm::Attach(12345);
  CHECK(!closed.ok() && closed.error().errnum == EBADF);
  auto other = kvm::Vm::Attach(0);
  CHECK(!other.ok() && other.error().errnum == ENOTTY);
  kvm::VcpuStats stats = {};
  auto vcpu = kvm::Vcpu::Create(0, 0, &stats);
  CHECK(!vcpu.ok() && vcpu.error().errnum == ENOTTY);
}

KVM_TEST(ManagesSlots, "slots: create, overlap, resize, re-flag, move, delete; the table follows the kernel") {
  Machine machine(kSpin, sizeof(kSpin));
  CHECK(machine.ready);
  kvm::Vm& vm = *machine.vm;
  const uint64_t size = machine.memory.size();
  auto overlap = vm.SetMemoryRegion(1, machine.SlotAt(kPage));
  CHECK(!overlap.ok() && overlap.error().errnum == EEXIST && vm.FindSlot(1) == nullptr);
  kvm::Slot smaller = machine.SlotAt(0);
  smaller.size -= kPage;
  auto resize = vm.SetMemoryRegion(0, smaller);
  CHECK(!resize.ok() && resize.error().errnum == EINVAL && vm.FindSlot(0)->size == size);
  CHECK(vm.SetMemoryRegion(0, machine.SlotAt(0, 0)).ok() && vm.FindSlot(0)->flags == 0);
  CHECK(vm.SetMemoryRegion(0, machine.SlotAt(size, 0)).ok() && vm.FindSlot(0)->guest_addr == size);
  CHECK(vm.SetMemoryRegion(1, machine.SlotAt(0)).ok());  // the same memory twice is allowed
  kvm::Slot none = {};
  CHECK(vm.SetMemoryRegion(1, none).ok() && vm.FindSlot(1) == nullptr);
  auto missing = vm.SetMemoryRegion(1, none);
  CHECK(!missing.ok() && missing.error().errnum == EINVAL);
}

KVM_TEST(InjectedFaultChangesNothing, "a failing call leaves the table as it was, and what follows works") {
  Machine machine(kSpin, sizeof(kSpin));
  CHECK(machine.ready);
  sys::ArmFault("KVM_SET_USER_MEMORY_REGION", 1, ENOMEM);
  kvm::Slot none = {};
  auto refused = machine.vm->SetMemoryRegion(0, none);
  CHECK(!refused.ok() && refused.error().errnum == ENOMEM && machine.vm->FindSlot(0) != nullptr);
  CHECK(machine.vm->SetMemoryRegion(0, none).ok() && machine.vm->FindSlot(0) == nullptr);
  sys::ArmFault("KVM_CREATE_VCPU", 1, EMFILE);
  kvm::VcpuStats stats = {};
  auto vcpu = kvm::Vcpu::Create(machine.vm->fd(), 0, &stats);
  CHECK(!vcpu.ok() && vcpu.error().errnum == EMFILE && strcmp(vcpu.error().syscall, "KVM_CREATE_VCPU") == 0);
  CHECK(kvm::Vcpu::Create(machine.vm->fd(), 0, &stats).ok());
}

KVM_TEST(CloseReportsStuckSlots, "close names the slots that the kernel refused to delete, and closes all the same") {
  Machine machine(kSpin, sizeof(kSpin));
  CHECK(machine.ready);
  CHECK(machine.vm->SetMemoryRegion(7, machine.SlotAt(machine.memory.size())).ok());
  sys::ArmFault("KVM_SET_USER_MEMORY_REGION", 2, ENOMEM);
  const std::vector<uint32_t> stuck = machine.vm->Close();
  CHECK(stuck == std::vector<uint32_t>{7});
  CHECK(!machine.vm->open() && machine.vm->Close().empty());
}

KVM_TEST(RunsToExits, "a guest's port write and halt are exits; statistics count them") {
  Machine machine(kOutWriteHalt, sizeof(kOutWriteHalt));
  CHECK(machine.ready);
  Cpu cpu(machine, 0);
  CHECK(cpu.ready);
  CHECK(cpu.vcpu->Run() == 0 && cpu.run->exit_reason == KVM_EXIT_IO);
  CHECK(cpu.run->io.direction == KVM_EXIT_IO_OUT && cpu.run->io.port == 0x10 && cpu.run->io.size == 1);
  CHECK(cpu.run->io.data_offset < kvm::Vcpu::kRunMappingSize);
  CHECK(reinterpret_cast<char*>(cpu.run)[cpu.run->io.data_offset] == 'A');
  CHECK(cpu.vcpu->Run() == 0 && cpu.run->exit_reason == KVM_EXIT_HLT);
  CHECK(cpu.stats.exits == 2 && cpu.stats.interrupted == 0);
  CHECK(cpu.stats.exits_by_reason[KVM_EXIT_IO] == 1 && cpu.stats.exits_by_reason[KVM_EXIT_HLT] == 1);
  CHECK(cpu.stats.guest_ns > 0 && cpu.stats.last_return_ns > 0);
  CHECK(cpu.stats.first_entry_ns > 0 && cpu.stats.first_entry_ns < cpu.stats.last_return_ns);
  uint64_t handled = 0;
  for (const uint64_t bucket : cpu.stats.handling_histogram) handled += bucket;
  CHECK(handled == 1);
}

KVM_TEST(PausesAreNotHandling, "a zeroed last_return_ns keeps a pause out of the histogram and of outside_ns") {
  Machine machine(kOutWriteHalt, sizeof(kOutWriteHalt));
  CHECK(machine.ready);
  Cpu cpu(machine, 0);
  CHECK(cpu.ready && cpu.vcpu->Run() == 0);
  cpu.stats.last_return_ns = 0;
  CHECK(cpu.vcpu->Run() == 0);
  CHECK(cpu.stats.outside_ns == 0);
  for (const uint64_t bucket : cpu.stats.handling_histogram) CHECK(bucket == 0);
}

KVM_TEST(ReadsAndWritesState,
         "state comes back as it was set; a refused MSR is named; translation knows what is mapped") {
  Machine machine(kSpin, sizeof(kSpin));
  CHECK(machine.ready);
  Cpu cpu(machine, 0);
  CHECK(cpu.ready);
  kvm_regs regs = {};
  CHECK(cpu.vcpu->GetState(kvm::VcpuState::kRegs, &regs).ok() && regs.rip == kCode);
  alignas(64) char xsave[kvm::kMaxStateSize];
  CHECK(cpu.vcpu->GetState(kvm::VcpuState::kXsave, xsave).ok() &&
        cpu.vcpu->SetState(kvm::VcpuState::kXsave, xsave).ok());
  const uint32_t indices[] = {0xc0000102, 0x12345};  // KERNEL_GS_BASE, and one that does not exist
  uint64_t values[] = {0x123456789abc, 0};
  auto set = cpu.vcpu->SetMsrs(std::span(indices, 1), std::span(values, 1));
  CHECK(set.ok() && !set.value().refused.has_value());
  uint64_t read[2] = {};
  auto one = cpu.vcpu->GetMsrs(std::span(indices, 1), std::span(read, 1));
  CHECK(one.ok() && !one.value().refused.has_value() && read[0] == values[0]);
  auto both = cpu.vcpu->GetMsrs(indices, read);
  CHECK(both.ok() && both.value().refused == 0x12345u);
  auto mapped = cpu.vcpu->Translate(kCode);
  CHECK(mapped.ok() && mapped.value() == kCode);
}

KVM_TEST(ImmediateExitComesFirst, "immediate_exit set before entry ends the run at once, and is cleared") {
  Machine machine(kSpin, sizeof(kSpin));
  CHECK(machine.ready);
  Cpu cpu(machine, 0);
  CHECK(cpu.ready);
  cpu.run->immediate_exit = 1;
  CHECK(cpu.vcpu->Run() == -EINTR);
  CHECK(cpu.run->immediate_exit == 0 && cpu.stats.interrupted == 1 && cpu.stats.exits == 0);
}

KVM_TEST(HeartbeatEndsRuns, "a heartbeat takes a spinning guest out of KVM_RUN again and again") {
  Machine machine(kSpin, sizeof(kSpin));
  CHECK(machine.ready);
  std::thread thread([&] {
    Cpu cpu(machine, 0);
    CHECK(cpu.ready);
    auto heartbeat = sys::Heartbeat::Start(20);
    CHECK(heartbeat.ok());
    for (int i = 0; i < 5; ++i) CHECK(cpu.vcpu->Run() == -EINTR);
  });
  thread.join();
}

KVM_TEST(NoKickIsLost, "several vCPUs, kicked at random moments: every request is seen") {
  Machine machine(kSpin, sizeof(kSpin));
  CHECK(machine.ready);
  constexpr int kCpus = 4;
  constexpr int kRounds = 150;
  // The protocol of the run loop: request word, immediate_exit, signal on the one side; KVM_RUN, request word on the
  // other.
  struct Control {
    std::atomic<int> request{0};
    std::atomic<int> seen{0};
    std::atomic<pid_t> tid{0};
    std::atomic<kvm_run*> run{nullptr};
  };
  Control controls[kCpus];
  std::vector<std::thread> threads;
  for (int index = 0; index < kCpus; ++index) {
    threads.emplace_back([&, index] {
      Control& control = controls[index];
      Cpu cpu(machine, static_cast<uint32_t>(index));
      control.tid = sys::ThreadId();
      control.run = cpu.run;
      CHECK(cpu.ready);
      while (control.seen < kRounds) {
        if (const int request = control.request; request != control.seen) {
          control.seen = request;
          continue;
        }
        const int outcome = cpu.vcpu->Run();
        if (outcome != -EINTR) control.seen = kRounds;
        CHECK(outcome == -EINTR);
      }
    });
  }
  bool all_signalled = true;
  for (int round = 1; round <= kRounds; ++round) {
    for (Control& control : controls) {
      while (control.run == nullptr) std::this_thread::yield();
      control.request = round;
      __atomic_store_n(&control.run.load()->immediate_exit, uint8_t{1}, __ATOMIC_SEQ_CST);
      auto kicked = sys::Kick(control.tid);
      all_signalled = all_signalled && kicked.ok() && kicked.value();
    }
    for (Control& control : controls) {
      while (control.seen < round) std::this_thread::yield();
    }
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(all_signalled);
}

KVM_TEST(CloseReleasesTheVcpu,
         "closing a vCPU releases it although its run page is still held, and kicks into it stay harmless") {
  Machine machine(kOutWriteHalt, sizeof(kOutWriteHalt));
  CHECK(machine.ready);
  std::shared_ptr<sys::Mapping> page;
  {
    Cpu cpu(machine, 0);
    CHECK(cpu.ready && cpu.vcpu->Run() == 0);
    page = cpu.vcpu->run_mapping();
    cpu.vcpu->Close();
    cpu.vcpu->Close();
    CHECK(!cpu.vcpu->open());
  }
  static_cast<kvm_run*>(page->data())->immediate_exit = 1;
  CHECK(static_cast<kvm_run*>(page->data())->exit_reason == 0);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) CHECK(line.find("kvm-vcpu") == std::string::npos);
}

KVM_TEST(DeletedSlotIsUnreachable, "a vCPU of a closed VM finds no memory any more") {
  Machine machine(kOutWriteHalt, sizeof(kOutWriteHalt));
  CHECK(machine.ready);
  Cpu cpu(machine, 0);
  CHECK(cpu.ready && cpu.vcpu->Run() == 0);
  CHECK(machine.vm->Close().empty());
  // The instruction after the port write can no longer be fetched: an exit that is not the halt, or an error.
  const int outcome = cpu.vcpu->Run();
  CHECK(outcome != 0 || cpu.run->exit_reason != KVM_EXIT_HLT);
}

KVM_TEST(ManyVmsLeaveNothing, "VMs with vCPUs, created and destroyed, leave no descriptor") {
  const auto lowest_free = [] { return dup(0); };
  const int before = lowest_free();
  close(before);
  for (int i = 0; i < 50; ++i) {
    Machine machine(kOutWriteHalt, sizeof(kOutWriteHalt));
    CHECK(machine.ready);
    Cpu cpu(machine, 0);
    CHECK(cpu.ready && cpu.vcpu->Run() == 0);
  }
  const int after = lowest_free();
  close(after);
  CHECK(before == after);
}

}  // namespace
