// Fault injection for tests: makes the n-th call of a named ioctl fail. One fault for the whole process, any thread.
// Costs one relaxed load per ioctl while disarmed; KVM_RUN does not go through it.

#ifndef NODE_KVM_SYS_FAULT_H_
#define NODE_KVM_SYS_FAULT_H_

#include <string>

namespace sys {

/** The `nth` (1 = next) call named `name` ('*' = any) fails with `errnum`, once. An empty name disarms. */
void ArmFault(const std::string& name, unsigned nth, int errnum);

/** To be asked before a call: the errno to fail with, or 0. */
int TakeFault(const char* name);

}  // namespace sys

#endif  // NODE_KVM_SYS_FAULT_H_
