// What a guest meets that resets itself by a jump to the PC firmware's entry, 0xffff0: a firmware of four instructions. Linux does so
// where ACPI is hardware-reduced and there is no EFI, whatever the FADT says of a reset register (arch/x86/kernel/reboot.c).

import { RESET_PORT, RESET_VALUE } from '../devices/acpi-sleep.ts';

/** Guest physical; f000:fff0 in real mode. 16 bytes to 1 MiB. */
export const RESET_VECTOR = 0xf_fff0;

/** Real mode: writes the FADT's reset value to its reset register, and halts where nobody answers that. */
export const RESET_CODE = Uint8Array.of(
  ...[0xba, RESET_PORT & 0xff, RESET_PORT >> 8], // mov dx, RESET_PORT
  ...[0xb0, RESET_VALUE], // mov al, RESET_VALUE
  0xee, // out dx, al
  0xf4, // hlt
  ...[0xeb, 0xfd], // jmp to the hlt
);
