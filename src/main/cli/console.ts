// The devices of `node-kvm run`: what guests print to, and how they power off. Closures on the main thread; every byte goes
// to one sink. Sources: PC16550D data sheet (transmitter side only), Bochs's port 0xe9, QEMU's port 0x402.

import type { Device } from '../../../shared/device.ts';
import { acpiPower, powerDevices } from '../devices/power.ts';

/** Gets bytes in the order in which the guest wrote them. */
export type ByteSink = (byte: number) => void;

const COM1 = 0x3f8;
const LINE_CONTROL = 3;
const DIVISOR_LATCH = 0x80;
/** What the other registers read as: no interrupt pending, transmitter empty, carrier there. */
const UART_READS: Readonly<Record<number, number>> = { 2: 0x01, 5: 0x60, 6: 0xb0 };

/** What any guest may use. A BIOS brings its debug port and its reset lines itself. */
export function consoleDevices(sink: ByteSink, isBios: boolean): Device[] {
  const devices = [serialPort(sink), bytePort('console', 0xe9, sink)];
  return isBios ? [...devices, acpiPower()] : [...devices, bytePort('debug-console', 0x402, sink), ...powerDevices()];
}

/** A port that prints what is written and reads as 0xe9, by which guests find it. */
function bytePort(name: string, base: number, sink: ByteSink): Device {
  return {
    name,
    pio: { base, length: 1 },
    read: () => 0xe9,
    write: (_offset, _size, value) => sink(Number(value) & 0xff),
  };
}

function serialPort(sink: ByteSink): Device {
  const registers = new Uint8Array(8);
  const latch = () => ((registers[LINE_CONTROL] ?? 0) & DIVISOR_LATCH) !== 0;
  return {
    name: 'com1',
    pio: { base: COM1, length: 8 },
    read: offset => (offset === 0 ? 0 : (UART_READS[offset] ?? registers[offset] ?? 0)),
    write: (offset, _size, value) => {
      const byte = Number(value) & 0xff;
      if (offset === 0 && !latch()) sink(byte);
      else if (offset !== 1 || !latch()) registers[offset] = byte;
    },
  };
}
