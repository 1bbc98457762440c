// How a device asks for the guest's attention, and nothing about how that reaches the guest. Runs on every thread; pure.
// What stands behind it (an irqfd, KVM_IRQ_LINE, a test's counter) is up to whoever builds the machine.

/** A device's interrupt output. Neither call blocks. */
export interface Interrupt {
  /** The line rises. On an edge-triggered line this is the interrupt; a second call without `lower` in between is one more. */
  raise(): void;
  /** The line falls. Absent on edge-triggered lines, which have nothing to do then. */
  lower?(): void;
}
