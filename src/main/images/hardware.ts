// What devices a guest is told about, as data: ACPI's DSDT, FADT and the MP table are made from it. Main thread; pure checks.
// The devices themselves are the VM's; a description without its device finds nothing, and a device without one is not found.

import { IOAPIC_ADDR, IOAPIC_PINS } from '../../../shared/devices/ioapic.ts';
import { invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import { HOLE_START, hex, toU64, type U64 } from '../../../shared/units.ts';

/** A virtio-mmio device: registers at [base, base + size), below 4 GiB in the hole; a pin of the IOAPIC, edge-triggered, that no other has. */
export interface VirtioHardware {
  readonly base: U64;
  readonly size: U64;
  readonly irq: number;
}

/** A 16550 at eight ports. */
export interface SerialHardware {
  readonly port: number;
  readonly irq: number;
}

/** Devices that tables describe. */
export interface Hardware {
  /** In this order the guest finds them. */
  readonly virtio?: readonly VirtioHardware[];
  /** Default: COM1, port 0x3f8, IRQ 4. */
  readonly serial?: readonly SerialHardware[];
  /** An i8042 at ports 0x60 and 0x64 with IRQ 1. Default false: the guest does not look for one. */
  readonly keyboard?: boolean;
  /** A PIC, and a PIT whose IRQ 0 arrives at the IOAPIC's pin 2. Default: the VM's own: true with the irqchip 'kernel', false with 'split'. */
  readonly timer?: boolean;
  /** A CMOS clock at ports 0x70 and 0x71 with IRQ 8. Default false: the guest has the time from KVM's clock. */
  readonly clock?: boolean;
}

/** Checked, with defaults. */
export interface CheckedHardware {
  readonly virtio: readonly { readonly base: number; readonly size: number; readonly irq: number }[];
  readonly serial: readonly SerialHardware[];
  readonly keyboard: boolean;
  readonly timer: boolean;
  readonly clock: boolean;
}

/** Where KVM's LAPICs are. */
export const LAPIC_ADDR = 0xfee0_0000;
export const KEYBOARD_IRQ = 1;
export const CLOCK_IRQ = 8;
/** Wired to the PIT: ISA's IRQ 0 arrives there. */
export const TIMER_PIN = 2;

const COM1: SerialHardware = { port: 0x3f8, irq: 4 };
const KEYBOARD_PORTS = [0x60, 0x64];

/** @throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION`; RangeError `ERR_OUT_OF_RANGE` */
export function checkHardware(hardware: Hardware = {}): CheckedHardware {
  if (typeof hardware !== 'object' || hardware === null) throw invalidType('hardware', 'an object', hardware);
  refuseUnknownKeys(hardware, ['virtio', 'serial', 'keyboard', 'timer', 'clock'], 'hardware');
  const { virtio = [], serial = [COM1], keyboard = false, timer = true, clock = false } = hardware;
  if (!Array.isArray(virtio)) throw invalidType('hardware.virtio', 'an array', virtio);
  if (!Array.isArray(serial)) throw invalidType('hardware.serial', 'an array', serial);
  if (typeof keyboard !== 'boolean') throw invalidType('hardware.keyboard', 'a boolean', keyboard);
  if (typeof timer !== 'boolean') throw invalidType('hardware.timer', 'a boolean', timer);
  if (typeof clock !== 'boolean') throw invalidType('hardware.clock', 'a boolean', clock);
  const irqs = new Map<number, string>([
    [0, 'the timer'],
    [TIMER_PIN, 'the timer'],
  ]);
  if (keyboard) irqs.set(KEYBOARD_IRQ, 'the keyboard controller');
  if (clock) irqs.set(CLOCK_IRQ, 'the clock');
  const takeIrq = (irq: number, name: string) => {
    if (typeof irq !== 'number') throw invalidType(name, 'a number', irq);
    if (!Number.isInteger(irq) || irq < 0 || irq >= IOAPIC_PINS)
      throw outOfRange(name, `a pin of the IOAPIC, below ${IOAPIC_PINS}`, irq);
    const owner = irqs.get(irq);
    if (owner !== undefined) throw outOfRange(name, `a pin that ${owner} does not have`, irq);
    irqs.set(irq, name);
  };
  const checked = {
    serial: serial.map((port: SerialHardware, index) => checkSerial(port, `hardware.serial[${index}]`, takeIrq)),
    virtio: virtio.map((device: VirtioHardware, index) => checkVirtio(device, `hardware.virtio[${index}]`, takeIrq)),
    keyboard,
    timer,
    clock,
  };
  requireApart(
    checked.virtio.map(({ base, size }) => [base, size]),
    'hardware.virtio',
  );
  const ports = keyboard ? KEYBOARD_PORTS.map(port => [port, 1] as const) : [];
  requireApart([...checked.serial.map(({ port }) => [port, 8] as const), ...ports], 'hardware.serial');
  return checked;
}

function checkSerial(
  serial: SerialHardware,
  name: string,
  takeIrq: (irq: number, name: string) => void,
): SerialHardware {
  if (typeof serial !== 'object' || serial === null) throw invalidType(name, 'an object', serial);
  refuseUnknownKeys(serial, ['port', 'irq'], name);
  const { port, irq } = serial;
  if (typeof port !== 'number') throw invalidType(`${name}.port`, 'a number', port);
  if (!Number.isInteger(port) || port < 1 || port > 0xfff8)
    throw outOfRange(`${name}.port`, 'the first of eight ports, from 1 to 0xfff8', port);
  takeIrq(irq, `${name}.irq`);
  return { port, irq };
}

function checkVirtio(
  device: VirtioHardware,
  name: string,
  takeIrq: (irq: number, name: string) => void,
): CheckedHardware['virtio'][number] {
  if (typeof device !== 'object' || device === null) throw invalidType(name, 'an object', device);
  refuseUnknownKeys(device, ['base', 'size', 'irq'], name);
  const base = toU64(device.base, `${name}.base`);
  const size = toU64(device.size, `${name}.size`);
  if (base < HOLE_START || base >= IOAPIC_ADDR || base % 4 !== 0)
    throw outOfRange(
      `${name}.base`,
      `a multiple of 4 from ${hex(HOLE_START)} to the IOAPIC at ${hex(IOAPIC_ADDR)}`,
      base,
    );
  // virtio 1.2, 4.2.2: registers up to 0x100, the device's configuration behind them.
  if (size < 0x100 || base + size > IOAPIC_ADDR)
    throw outOfRange(`${name}.size`, `at least 0x100, ending at or below ${hex(IOAPIC_ADDR)}`, size);
  takeIrq(device.irq, `${name}.irq`);
  return { base, size, irq: device.irq };
}

function requireApart(ranges: readonly (readonly [start: number, size: number])[], name: string): void {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0]);
  for (const [index, [start]] of sorted.entries()) {
    const before = sorted[index - 1];
    if (before !== undefined && before[0] + before[1] > start)
      throw outOfRange(name, `devices that do not overlap (one ends at ${hex(before[0] + before[1])})`, start);
  }
}
