// Exits that a vCPU's thread hands to a server thread, which counts them: what a device on another thread is in the lab's
// baseline. Futexes and nothing else.

#ifndef NODE_KVM_SYS_HAND_OVER_H_
#define NODE_KVM_SYS_HAND_OVER_H_

#include <cstdint>
#include <span>

namespace sys {

/** Of one vCPU, in shared memory. `asked` is written by the vCPU's thread, `handled` by whoever handles its exits. */
struct ExitWords {
  uint32_t handled;
  uint32_t asked;
};

/**
 * Counts an exit in `asked`, rings the server's bell, and sleeps until `handled` has reached it. False when that takes ten
 * seconds.
 */
bool HandOver(ExitWords* vcpu, uint32_t* bell);

/** The server of all these vCPUs: handles what they ask, until nobody rang for 100 ms. */
void ServeExits(std::span<ExitWords* const> vcpus, const uint32_t* bell);

}  // namespace sys

#endif  // NODE_KVM_SYS_HAND_OVER_H_
