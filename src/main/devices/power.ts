// How a PC guest turns itself off or resets: ACPI's PM1a control port as QEMU places it, the keyboard controller's reset line, and the
// chipset's reset control register. Main thread.

import type { Device } from '../../../shared/device.ts';

/** PM1a_CNT: SLP_TYP in bits 10–12 (5's value is 0 on QEMU's PIIX4 and q35), SLP_EN in bit 13. */
const PM1A_CONTROL = 0x604;
const SLEEP_ENABLE = 0x2000;
const KEYBOARD_COMMAND = 0x64;
const PULSE_RESET_LINE = 0xfe;
/**
 * Output buffer full, input buffer empty. A driver that looks for a keyboard empties the first, gives up after some bytes that never
 * end, and concludes that there is no controller (Linux after 17 reads, as with a floating bus); one that resets the machine waits
 * for the second and goes on at once (on a floating bus Linux polls 65,536 times).
 */
const NO_CONTROLLER = 0x01;
/** RST_CNT: bit 2 resets the processor. */
const RESET_CONTROL = 0xcf9;
const RESET_CPU = 0x04;

/** The three of them. The VM ends with 'power-off' or 'reset'. */
export function powerDevices(): Device[] {
  return [acpiPower(), keyboardReset(), resetControl()];
}

/** Port 0x604, 16 bits: a write with 0x2000 in it powers off. */
export function acpiPower(): Device {
  return {
    name: 'ACPI power',
    pio: { base: PM1A_CONTROL, length: 2 },
    read: () => 0,
    write(offset, _size, value, access) {
      if (offset === 0 && (Number(value) & SLEEP_ENABLE) !== 0) access.end('power-off');
    },
  };
}

/** Port 0x64: its status says that there is no working controller; command 0xfe pulls the processor's reset line. */
export function keyboardReset(): Device {
  return {
    name: 'keyboard controller reset',
    pio: { base: KEYBOARD_COMMAND, length: 1 },
    read: () => NO_CONTROLLER,
    write(_offset, _size, value, access) {
      if (Number(value) === PULSE_RESET_LINE) access.end('reset');
    },
  };
}

/** Port 0xcf9. */
function resetControl(): Device {
  return {
    name: 'reset control',
    pio: { base: RESET_CONTROL, length: 1 },
    read: () => 0,
    write(_offset, _size, value, access) {
      if ((Number(value) & RESET_CPU) !== 0) access.end('reset');
    },
  };
}
