// A virtual machine in as few steps as KVM allows: one slot from address 0, one vCPU, a flat guest in real mode or in long
// mode at ring 3. What the TypeScript side does through the library, written directly against the ioctls.

#ifndef NODE_KVM_BENCH_BARE_VM_H_
#define NODE_KVM_BENCH_BARE_VM_H_

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace baseline {

/** Where the guest's code begins (a page) and, in long mode, its page tables (three pages below it). */
inline constexpr uint64_t kCodeAddress = 0x10000;
inline constexpr uint64_t kTablesAddress = 0x4000;

/** Ports of the benchmark's guest: a 2- or 4-byte read of GATE sleeps until the next round and answers its number of exits. */
inline constexpr uint16_t kDataPort = 0x100;
inline constexpr uint16_t kGatePort = 0x108;

std::vector<uint8_t> FromHex(const std::string& text);

class BareVm {
 public:
  BareVm(size_t memory_bytes, const std::vector<uint8_t>& code, int mode);
  ~BareVm();
  BareVm(const BareVm&) = delete;
  BareVm& operator=(const BareVm&) = delete;

  /** KVM_CREATE_VCPU and its start state: on the thread that will drive it. */
  void CreateVcpu();
  /** KVM_RUN until it returns an exit. */
  void Run();

  kvm_run* run() const { return run_; }
  /** Port, direction and data of the exit that Run() returned, which must be KVM_EXIT_IO. */
  uint8_t* io_data() const { return reinterpret_cast<uint8_t*>(run_) + run_->io.data_offset; }

 private:
  int system_ = -1;
  int vm_ = -1;
  int vcpu_ = -1;
  size_t memory_bytes_;
  uint8_t* memory_ = nullptr;
  int mode_;
  kvm_run* run_ = nullptr;
  size_t run_bytes_ = 0;
};

}  // namespace baseline

#endif  // NODE_KVM_BENCH_BARE_VM_H_
