// Implementation of the bare VM. Reads nothing but /dev/kvm.

#include "bare_vm.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "baseline.h"

namespace baseline {

namespace {

// Accessed and dirty are set beforehand, as the library does: the processor then never writes to the tables.
constexpr uint64_t kPresentWriteUser = 0x27;
constexpr uint64_t kLargePage = 0xc0;

/** Long mode: RAM identity-mapped with 2 MiB user pages, up to 1 GiB, and `high_bytes` from kHighAddress on. */
void WritePageTables(uint8_t* memory, size_t memory_bytes, uint64_t high_bytes) {
  auto* table = reinterpret_cast<uint64_t*>(memory + kTablesAddress);
  table[0] = (kTablesAddress + 0x1000) | kPresentWriteUser;
  table[512] = (kTablesAddress + 0x2000) | kPresentWriteUser;
  for (uint64_t i = 0; i < 512 && i << 21 < memory_bytes; ++i) table[1024 + i] = i << 21 | kPresentWriteUser | kLargePage;
  auto* high = reinterpret_cast<uint64_t*>(memory + kHighTablesAddress);
  for (uint64_t i = 0; i << 21 < high_bytes; ++i) {
    if (i % 512 == 0) table[512 + (kHighAddress >> 30) + i / 512] = (kHighTablesAddress + i / 512 * 4096) | kPresentWriteUser;
    high[i] = (kHighAddress + (i << 21)) | kPresentWriteUser | kLargePage;
  }
}

void SetLongMode(kvm_sregs& sregs) {
  kvm_segment code{};
  code.limit = 0xffffffff;
  code.selector = 0x33;
  code.type = 0xb;
  code.present = code.s = code.l = code.g = 1;
  code.dpl = 3;
  kvm_segment data = code;
  data.selector = 0x2b;
  data.type = 3;
  data.l = 0;
  data.db = 1;
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.cr0 = 0x80000033;  // PG, NE, ET, MP, PE
  sregs.cr3 = kTablesAddress;
  sregs.cr4 = 0x620;     // OSXMMEXCPT, OSFXSR, PAE
  sregs.efer = 0x500;    // LMA, LME
}

/** struct kvm_cpuid2 with room. The header's own is 4 bytes too long in C++ (its flexible array lies behind an empty struct). */
struct Cpuid {
  uint32_t count = 256;
  uint32_t padding = 0;
  kvm_cpuid_entry2 entries[256] = {};
};
static_assert(offsetof(Cpuid, entries) == 8);
constexpr auto kGetSupportedCpuid = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, _IOC_NR(KVM_GET_SUPPORTED_CPUID), 8);
constexpr auto kSetCpuid = _IOC(_IOC_WRITE, KVMIO, _IOC_NR(KVM_SET_CPUID2), 8);

}  // namespace

std::vector<uint8_t> FromHex(const std::string& text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) bytes.push_back(static_cast<uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

BareVm::BareVm(size_t memory_bytes, const std::vector<uint8_t>& code, int mode, uint64_t high_bytes)
    : memory_bytes_(memory_bytes), mode_(mode) {
  system_ = Checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "open /dev/kvm");
  vm_ = Checked(ioctl(system_, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  void* memory = mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) Fail("mmap guest memory");
  memory_ = static_cast<uint8_t*>(memory);
  kvm_userspace_memory_region region{0, 0, 0, memory_bytes, reinterpret_cast<uint64_t>(memory_)};
  Checked(ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  std::memcpy(memory_ + kCodeAddress, code.data(), code.size());
  if (mode_ == 64) WritePageTables(memory_, memory_bytes, high_bytes);
}

BareVm::~BareVm() {
  vcpu_.reset();
  close(vm_);
  close(system_);
  munmap(memory_, memory_bytes_);
}

std::unique_ptr<BareVcpu> BareVm::MakeVcpu(int index) {
  auto vcpu = std::make_unique<BareVcpu>(system_, vm_, index);
  vcpu->Start(mode_, memory_bytes_, static_cast<uint64_t>(index));
  return vcpu;
}

BareVcpu::BareVcpu(int system, int vm, int index) {
  fd_ = Checked(ioctl(vm, KVM_CREATE_VCPU, index), "KVM_CREATE_VCPU");
  run_bytes_ = static_cast<size_t>(Checked(ioctl(system, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE"));
  void* run = mmap(nullptr, run_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (run == MAP_FAILED) Fail("mmap kvm_run");
  run_ = static_cast<kvm_run*>(run);

  Cpuid cpuid;
  Checked(ioctl(system, kGetSupportedCpuid, &cpuid), "KVM_GET_SUPPORTED_CPUID");
  Checked(ioctl(fd_, kSetCpuid, &cpuid), "KVM_SET_CPUID2");
}

BareVcpu::~BareVcpu() {
  munmap(run_, run_bytes_);
  close(fd_);
}

void BareVcpu::Start(int mode, uint64_t stack, uint64_t index) {
  kvm_sregs sregs;
  Checked(ioctl(fd_, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
  kvm_regs regs{};
  regs.rip = kCodeAddress;
  if (mode == 64) {
    SetLongMode(sregs);
    regs.rflags = 0x3002;  // IOPL 3: ring 3 may use ports
    regs.rsp = stack;
    regs.rdi = index;
  } else {
    sregs.cs.selector = static_cast<uint16_t>(kCodeAddress >> 4);
    sregs.cs.base = kCodeAddress;
    regs.rip = 0;
    regs.rflags = 2;
  }
  Checked(ioctl(fd_, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
  Checked(ioctl(fd_, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

void BareVcpu::Run() {
  while (ioctl(fd_, KVM_RUN, 0) < 0) {
    if (errno != EINTR && errno != EAGAIN) Fail("KVM_RUN");
  }
}

}  // namespace baseline
