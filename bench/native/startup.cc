// From nothing to the guest's first exit on a fresh thread, and machines that do nothing: what the same costs in C.

#include <future>
#include <memory>
#include <thread>

#include "bare_vm.h"
#include "baseline.h"

namespace baseline {

namespace {

/** A VM whose vCPU's thread sleeps after the first exit, as one that waits for a device. */
class IdleVm {
 public:
  IdleVm(size_t memory_bytes, const std::vector<uint8_t>& code, int mode) : vm_(memory_bytes, code, mode) {
    std::promise<double> first;
    auto first_exit = first.get_future();
    thread_ = std::thread([this, first = std::move(first)]() mutable {
      vm_.CreateVcpu();
      vm_.Run();
      const double now = NowNs();
      if (vm_.run()->exit_reason != KVM_EXIT_IO) Fail("the guest's first exit is not its gate");
      first.set_value(now);
      over_.get_future().wait();
    });
    first_exit_ = first_exit.get();
  }

  ~IdleVm() {
    over_.set_value();
    thread_.join();
  }

  double first_exit() const { return first_exit_; }

 private:
  BareVm vm_;
  std::promise<void> over_;
  double first_exit_ = 0;
  std::thread thread_;
};

std::vector<std::unique_ptr<IdleVm>> idle;

}  // namespace

/** start-vm <memory bytes> <16|64> <code in hex>: until the first exit; taking the VM down is not timed. */
Answer StartVm(Arguments& line) {
  const auto memory_bytes = Next<size_t>(line);
  const int mode = Next<int>(line);
  const auto code = FromHex(Next<std::string>(line));
  const double start = NowNs();
  IdleVm vm(memory_bytes, code, mode);
  return {vm.first_exit() - start, 0};
}

/** idle-open <count> <memory bytes> <16|64> <code in hex>: until each is at its first exit. Who asked reads /proc/<pid>. */
Answer OpenIdleVms(Arguments& line) {
  const auto count = Next<size_t>(line);
  const auto memory_bytes = Next<size_t>(line);
  const int mode = Next<int>(line);
  const auto code = FromHex(Next<std::string>(line));
  for (size_t i = 0; i < count; ++i) idle.push_back(std::make_unique<IdleVm>(memory_bytes, code, mode));
  return {};
}

/** idle-close: takes them down. */
Answer CloseIdleVms(Arguments&) {
  idle.clear();
  return {};
}

}  // namespace baseline
