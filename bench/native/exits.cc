// Exits: a bare KVM_RUN loop with a switch and a handler, and the same loop that hands each exit to another thread and
// sleeps until it was handled (two futexes, as a VMM in C would do it). The guest reads its GATE port between rounds.

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <thread>

#include "bare_vm.h"
#include "baseline.h"

namespace baseline {

namespace {

/** A device on a port: what the loop looks up and calls. */
struct PortHandler {
  void (*write)(void* context, uint32_t value);
  void* context;
};

void CountWrite(void* context, uint32_t) {
  auto* counter = static_cast<volatile uint64_t*>(context);
  *counter = *counter + 1;
}

uint32_t ReadSized(const uint8_t* data, uint8_t size) {
  uint32_t value = 0;
  std::memcpy(&value, data, size);
  return value;
}

/** The words between a vCPU's thread and the thread that serves it: EMPTY → ASKED (vCPU) → DONE (server) → EMPTY (vCPU). */
class Handover {
 public:
  explicit Handover(BareVm& vm, const PortHandler* handlers) : vm_(vm), handlers_(handlers), server_([this] { Serve(); }) {}
  ~Handover() {
    Store(kOver);
    server_.join();
  }

  void Ask() {
    Store(kAsked);
    Await(kAsked);
    state_.store(kEmpty, std::memory_order_release);
  }

 private:
  enum : uint32_t { kEmpty, kAsked, kDone, kOver };

  void Store(uint32_t value) {
    state_.store(value, std::memory_order_seq_cst);
    syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }

  /** Sleeps while the word has this value. */
  void Await(uint32_t value) {
    while (state_.load(std::memory_order_seq_cst) == value) {
      syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
    }
  }

  void Serve() {
    for (;;) {
      uint32_t state = state_.load(std::memory_order_seq_cst);
      while (state == kEmpty || state == kDone) {
        Await(state);
        state = state_.load(std::memory_order_seq_cst);
      }
      if (state == kOver) return;
      const kvm_run* run = vm_.run();
      const PortHandler& handler = handlers_[run->io.port - kDataPort];
      handler.write(handler.context, ReadSized(vm_.io_data(), run->io.size));
      Store(kDone);
    }
  }

  BareVm& vm_;
  const PortHandler* handlers_;
  std::atomic<uint32_t> state_ = kEmpty;
  std::thread server_;
};

struct ExitGuest {
  explicit ExitGuest(const std::vector<uint8_t>& code, int mode) : vm(4 << 20, code, mode) { vm.CreateVcpu(); }

  BareVm vm;
  volatile uint64_t counter = 0;
  PortHandler handlers[8] = {};
  std::unique_ptr<Handover> handover;
};

std::map<std::string, std::unique_ptr<ExitGuest>> guests;

/** Runs until the guest reads its gate. */
void RunToGate(ExitGuest& guest) {
  for (;;) {
    guest.vm.Run();
    const kvm_run* run = guest.vm.run();
    switch (run->exit_reason) {
      case KVM_EXIT_IO: {
        if (run->io.direction == KVM_EXIT_IO_IN) {
          if (run->io.port == kGatePort) return;
          break;
        }
        if (guest.handover) {
          guest.handover->Ask();
          continue;
        }
        const uint32_t index = run->io.port - kDataPort;
        if (index >= std::size(guest.handlers)) break;
        const PortHandler& handler = guest.handlers[index];
        handler.write(handler.context, ReadSized(guest.vm.io_data(), run->io.size));
        continue;
      }
      case KVM_EXIT_MMIO:
      case KVM_EXIT_HLT:
      case KVM_EXIT_SHUTDOWN:
      case KVM_EXIT_FAIL_ENTRY:
      case KVM_EXIT_INTERNAL_ERROR:
      default:
        break;
    }
    errno = EPROTO;
    std::fprintf(stderr, "exit reason %u\n", run->exit_reason);
    Fail("unexpected exit");
  }
}

}  // namespace

/** exits-open <name> <16|64> <own|other thread> <code in hex>: leaves the guest in its gate. */
Answer OpenExits(Arguments& line) {
  const auto name = Next<std::string>(line);
  const int mode = Next<int>(line);
  const auto where = Next<std::string>(line);
  auto guest = std::make_unique<ExitGuest>(FromHex(Next<std::string>(line)), mode);
  for (PortHandler& handler : guest->handlers) handler = {CountWrite, const_cast<uint64_t*>(&guest->counter)};
  if (where == "other") guest->handover = std::make_unique<Handover>(guest->vm, guest->handlers);
  RunToGate(*guest);
  guests[name] = std::move(guest);
  return {};
}

/** exits-run <name> <exits>: answers the gate, and ends when the guest is at it again; check: exits counted so far. */
Answer RunExits(Arguments& line) {
  ExitGuest& guest = *guests.at(Next<std::string>(line));
  const auto exits = Next<uint32_t>(line);
  std::memcpy(guest.vm.io_data(), &exits, guest.vm.run()->io.size);
  const double start = NowNs();
  RunToGate(guest);
  return {NowNs() - start, guest.counter};
}

}  // namespace baseline
