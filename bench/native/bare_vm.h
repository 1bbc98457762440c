// A virtual machine in as few steps as KVM allows: one slot from address 0, one vCPU or more, a flat guest in real mode or in
// long mode at ring 3. What the TypeScript side does through the library, written directly against the ioctls.

#ifndef NODE_KVM_BENCH_BARE_VM_H_
#define NODE_KVM_BENCH_BARE_VM_H_

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace baseline {

/** Where the guest's code begins (a page) and, in long mode, its page tables (three pages below it). */
inline constexpr uint64_t kCodeAddress = 0x10000;
inline constexpr uint64_t kTablesAddress = 0x4000;
/** Memory that the caller adds begins here, and the tables for it (a page for each GiB) lie at kHighTablesAddress. */
inline constexpr uint64_t kHighAddress = uint64_t{4} << 30;
inline constexpr uint64_t kHighTablesAddress = 0x100000;

/** Ports of the benchmark's guest: a 2- or 4-byte read of GATE sleeps until the next round and answers its number of exits. */
inline constexpr uint16_t kDataPort = 0x100;
inline constexpr uint16_t kGatePort = 0x108;

std::vector<uint8_t> FromHex(const std::string& text);

class BareVcpu {
 public:
  BareVcpu(int system, int vm, int index);
  ~BareVcpu();
  BareVcpu(const BareVcpu&) = delete;
  BareVcpu& operator=(const BareVcpu&) = delete;

  /** Start state: long mode with its index in rdi, or real mode. */
  void Start(int mode, uint64_t stack, uint64_t index);
  /** KVM_RUN until it returns an exit. */
  void Run();

  int fd() const { return fd_; }
  kvm_run* run() const { return run_; }
  /** Port, direction and data of the exit that Run() returned, which must be KVM_EXIT_IO. */
  uint8_t* io_data() const { return reinterpret_cast<uint8_t*>(run_) + run_->io.data_offset; }

 private:
  int fd_ = -1;
  kvm_run* run_ = nullptr;
  size_t run_bytes_ = 0;
};

class BareVm {
 public:
  /** `high_bytes` from kHighAddress on are mapped by the guest's tables; the slots for them are the caller's. */
  BareVm(size_t memory_bytes, const std::vector<uint8_t>& code, int mode, uint64_t high_bytes = 0);
  ~BareVm();
  BareVm(const BareVm&) = delete;
  BareVm& operator=(const BareVm&) = delete;

  int fd() const { return vm_; }
  uint8_t* memory() const { return memory_; }
  size_t memory_bytes() const { return memory_bytes_; }

  /** KVM_CREATE_VCPU and its start state: on the thread that will drive it. */
  std::unique_ptr<BareVcpu> MakeVcpu(int index);

  // The only vCPU of a machine that has one.
  void CreateVcpu() { vcpu_ = MakeVcpu(0); }
  void Run() { vcpu_->Run(); }
  kvm_run* run() const { return vcpu_->run(); }
  uint8_t* io_data() const { return vcpu_->io_data(); }

 private:
  int system_ = -1;
  int vm_ = -1;
  size_t memory_bytes_;
  uint8_t* memory_ = nullptr;
  int mode_;
  std::unique_ptr<BareVcpu> vcpu_;
};

}  // namespace baseline

#endif  // NODE_KVM_BENCH_BARE_VM_H_
