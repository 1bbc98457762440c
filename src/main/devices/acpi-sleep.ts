// The registers by which hardware-reduced ACPI turns a machine off and resets it. Main thread. The FADT that names them is made in
// images/acpi-tables.ts. Source: ACPI specification 6.5, 4.8.3.7 (sleep control and status registers), 4.8.3.6 (reset register).

import type { Device } from '../../../shared/device.ts';

/** SLEEP_CONTROL_REG: bits 2–4 SLP_TYP, bit 5 SLP_EN. */
export const SLEEP_CONTROL_PORT = 0x600;
/** SLEEP_STATUS_REG: bit 7 WAK_STS, which is never set: no sleep that the guest could wake from. */
export const SLEEP_STATUS_PORT = 0x601;
/** SLP_TYP of S5, soft off. */
export const SLEEP_TYPE_OFF = 5;
const SLEEP_ENABLE = 0x20;

/** RESET_REG: the chipset's reset control, which `powerDevices()` answers. */
export const RESET_PORT = 0xcf9;
/** Full reset: bit 1 chooses a hard one, bit 2 starts it. */
export const RESET_VALUE = 0x06;

/** Ports 0x600 and 0x601: S5 ends the VM with 'power-off'; nothing else does anything. */
export function acpiSleep(): Device {
  return {
    name: 'ACPI sleep registers',
    pio: { base: SLEEP_CONTROL_PORT, length: 2 },
    read: () => 0,
    write(offset, _size, value, access) {
      const bits = Number(value);
      const off = (bits & SLEEP_ENABLE) !== 0 && ((bits >> 2) & 7) === SLEEP_TYPE_OFF;
      if (offset === 0 && off) access.end('power-off');
    },
  };
}
