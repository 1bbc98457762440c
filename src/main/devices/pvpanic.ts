// The port by which a guest's kernel says that it has panicked: pvpanic, as QEMU defined it and Linux's driver pvpanic-mmio knows it.
// Main thread. The DSDT that names it is made in images/acpi-tables.ts. Source: QEMU, docs/specs/pvpanic.rst.

import type { Device } from '../../../shared/device.ts';

export const PANIC_PORT = 0x505;
/** Bit 0: the guest has panicked. The other events (a crash kernel takes over; shutdown) are the guest's own affair, and not offered. */
const PANICKED = 0x01;

/** Port 0x505: reads as the events that it takes; a write with bit 0 ends the VM with 'panic'. */
export function pvpanic(): Device {
  return {
    name: 'panic port',
    pio: { base: PANIC_PORT, length: 1 },
    read: () => PANICKED,
    write(_offset, _size, value, access) {
      if ((Number(value) & PANICKED) !== 0) access.end('panic');
    },
  };
}
