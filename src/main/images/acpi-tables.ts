// ACPI tables for a machine without ACPI's fixed hardware ("hardware-reduced"): RSDP, XSDT, FADT, MADT, DSDT. Main thread; pure.
// Hardware-reduced is right here because there is no PM timer, no PM1 block and no SCI: the guest then uses neither PIT nor PIC, which it
// would only calibrate against. Source: ACPI specification 6.5, chapter 5 (tables), 4.1 (hardware-reduced).

import { IOAPIC_ADDR } from '../../../shared/devices/ioapic.ts';
import {
  RESET_PORT,
  RESET_VALUE,
  SLEEP_CONTROL_PORT,
  SLEEP_STATUS_PORT,
  SLEEP_TYPE_OFF,
} from '../devices/acpi-sleep.ts';
import { PANIC_PORT } from '../devices/pvpanic.ts';
import * as aml from './aml.ts';
import { type CheckedHardware, CLOCK_IRQ, KEYBOARD_IRQ, LAPIC_ADDR, TIMER_PIN } from './hardware.ts';

/** Where each table begins, and all their bytes for `base`. Addresses guest physical. */
export interface AcpiTables {
  readonly rsdp: number;
  readonly bytes: Uint8Array;
}

const RSDP_SIZE = 36;
const HEADER_SIZE = 36;
const FADT_SIZE = 276;
const OEM = 'NODEKV';

/**
 * All tables for `vcpus` vCPUs (APIC ids 0 to vcpus - 1), to be written at `base`, a multiple of 16 below 4 GiB where guests look for
 * the RSDP (0xe0000 to 0xfffff) unless they are told.
 */
export function acpiTables(base: number, vcpus: number, hardware: CheckedHardware): AcpiTables {
  const pieces: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  let next = base + align(RSDP_SIZE);
  const place = (bytes: Uint8Array): number => {
    const at = next;
    pieces.push({ at, bytes });
    next = at + align(bytes.byteLength);
    return at;
  };
  const dsdtAt = place(dsdt(hardware));
  const fadtAt = place(fadt(dsdtAt, hardware));
  const madtAt = place(madt(vcpus, hardware));
  const xsdtAt = place(xsdt([fadtAt, madtAt]));
  const bytes = new Uint8Array(next - base);
  bytes.set(rsdp(xsdtAt));
  for (const piece of pieces) bytes.set(piece.bytes, piece.at - base);
  return { rsdp: base, bytes };
}

const align = (size: number) => Math.ceil(size / 16) * 16;

/** The byte that makes all bytes add up to 0 modulo 256. */
function checksum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

function putText(bytes: Uint8Array, at: number, text: string): void {
  bytes.set(new TextEncoder().encode(text), at);
}

function rsdp(xsdtAt: number): Uint8Array {
  const bytes = new Uint8Array(RSDP_SIZE);
  const view = new DataView(bytes.buffer);
  putText(bytes, 0, 'RSD PTR ');
  putText(bytes, 9, OEM);
  view.setUint8(15, 2); // revision: with an XSDT
  view.setUint32(20, RSDP_SIZE, true);
  view.setBigUint64(24, BigInt(xsdtAt), true);
  view.setUint8(8, checksum(bytes.subarray(0, 20)));
  view.setUint8(32, checksum(bytes));
  return bytes;
}

/** A table of `size` bytes: its header, then what `fill` puts behind it, then the checksum. */
function table(
  signature: string,
  revision: number,
  size: number,
  fill: (view: DataView, bytes: Uint8Array) => void,
): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  putText(bytes, 0, signature);
  view.setUint32(4, size, true);
  view.setUint8(8, revision);
  putText(bytes, 10, OEM);
  putText(bytes, 16, 'NODE-KVM');
  view.setUint32(24, 1, true);
  putText(bytes, 28, 'NKVM');
  view.setUint32(32, 1, true);
  fill(view, bytes);
  view.setUint8(9, checksum(bytes));
  return bytes;
}

function xsdt(addresses: readonly number[]): Uint8Array {
  return table('XSDT', 1, HEADER_SIZE + addresses.length * 8, view => {
    for (const [index, address] of addresses.entries())
      view.setBigUint64(HEADER_SIZE + index * 8, BigInt(address), true);
  });
}

// FADT: IA-PC boot architecture flags.
const LEGACY_DEVICES = 0x01;
const KEYBOARD_CONTROLLER = 0x02;
const NO_VGA = 0x04;
const NO_CMOS_CLOCK = 0x20;
// FADT: feature flags.
const WBINVD = 1 << 0;
const NO_FIXED_POWER_BUTTON = 1 << 4;
const NO_FIXED_SLEEP_BUTTON = 1 << 5;
const RESET_REGISTER = 1 << 10;
const HARDWARE_REDUCED = 1 << 20;

function fadt(dsdtAt: number, hardware: CheckedHardware): Uint8Array {
  return table('FACP', 6, FADT_SIZE, view => {
    view.setUint32(40, dsdtAt, true);
    const legacy = hardware.serial.length > 0 ? LEGACY_DEVICES : 0;
    const keyboard = hardware.keyboard ? KEYBOARD_CONTROLLER : 0;
    view.setUint16(109, legacy | keyboard | NO_VGA | (hardware.clock ? 0 : NO_CMOS_CLOCK), true);
    view.setUint32(
      112,
      WBINVD | NO_FIXED_POWER_BUTTON | NO_FIXED_SLEEP_BUTTON | RESET_REGISTER | HARDWARE_REDUCED,
      true,
    );
    putPort(view, 116, RESET_PORT);
    view.setUint8(128, RESET_VALUE);
    view.setUint8(131, 5); // minor version: 6.5
    view.setBigUint64(140, BigInt(dsdtAt), true);
    putPort(view, 244, SLEEP_CONTROL_PORT);
    putPort(view, 256, SLEEP_STATUS_PORT);
  });
}

/** A generic address structure: a port of eight bits. */
function putPort(view: DataView, at: number, port: number): void {
  view.setUint8(at, 1); // system I/O
  view.setUint8(at + 1, 8); // bits
  view.setUint8(at + 3, 1); // byte access
  view.setBigUint64(at + 4, BigInt(port), true);
}

/** From this APIC id on a processor is described by the x2APIC's kind of entry. */
const X2APIC_IDS = 255;

function madt(vcpus: number, hardware: CheckedHardware): Uint8Array {
  const entries: number[][] = [];
  for (let id = 0; id < vcpus; id++) {
    const word = [id & 0xff, (id >> 8) & 0xff, 0, 0];
    // Enabled: bit 0 of the flags.
    if (id < X2APIC_IDS) entries.push([0, 8, id, id, 1, 0, 0, 0]);
    else entries.push([9, 16, 0, 0, ...word, 1, 0, 0, 0, ...word]);
  }
  entries.push([1, 12, 0, 0, ...littleEndian32(IOAPIC_ADDR), 0, 0, 0, 0]);
  // ISA's IRQ 0 arrives at pin 2, with the bus's own polarity and trigger.
  if (hardware.timer) entries.push([2, 10, 0, 0, TIMER_PIN, 0, 0, 0, 0, 0]);
  // NMI at LINT1 of all processors; the x2APIC's kind of entry says it for those.
  entries.push([4, 6, 0xff, 0, 0, 1]);
  if (vcpus > X2APIC_IDS) entries.push([10, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
  const body = entries.flat();
  return table('APIC', 5, HEADER_SIZE + 8 + body.length, (view, bytes) => {
    view.setUint32(HEADER_SIZE, LAPIC_ADDR, true);
    bytes.set(body, HEADER_SIZE + 8);
  });
}

const littleEndian32 = (value: number) => [0, 8, 16, 24].map(shift => (value >>> shift) & 0xff);

function dsdt(hardware: CheckedHardware): Uint8Array {
  const devices = [
    ...hardware.serial.map(({ port, irq }, index) =>
      aml.device(`CM${hex2(index)}`, [
        aml.named('_HID', aml.eisaId('PNP0501')),
        aml.named('_UID', aml.integer(index)),
        aml.named('_CRS', aml.resources([aml.ports(port, 8), aml.interrupt(irq)])),
      ]),
    ),
    ...(hardware.keyboard
      ? [legacy('KBD', 'PNP0303', [aml.ports(0x60, 1), aml.ports(0x64, 1), aml.interrupt(KEYBOARD_IRQ)])]
      : []),
    ...(hardware.clock ? [legacy('RTC', 'PNP0B00', [aml.ports(0x70, 2), aml.interrupt(CLOCK_IRQ)])] : []),
    aml.device('PEVT', [
      aml.named('_HID', aml.string('QEMU0001')),
      aml.named('_CRS', aml.resources([aml.ports(PANIC_PORT, 1)])),
    ]),
    ...hardware.virtio.map(({ base, size, irq }, index) =>
      aml.device(`VR${hex2(index)}`, [
        aml.named('_HID', aml.string('LNRO0005')),
        aml.named('_UID', aml.integer(index)),
        // Coherent: the devices are threads of the host.
        aml.named('_CCA', aml.integer(1)),
        aml.named('_CRS', aml.resources([aml.memory32(base, size), aml.interrupt(irq)])),
      ]),
    ),
  ];
  const off = aml.package_([SLEEP_TYPE_OFF, 0, 0, 0].map(aml.integer));
  const body = [...aml.scope('\\_SB', devices), ...aml.named('\\_S5', off)];
  return table('DSDT', 2, HEADER_SIZE + body.length, (_view, bytes) => bytes.set(body, HEADER_SIZE));
}

function legacy(name: string, id: string, descriptors: readonly aml.Term[]): aml.Term {
  return aml.device(name, [aml.named('_HID', aml.eisaId(id)), aml.named('_CRS', aml.resources(descriptors))]);
}

const hex2 = (value: number) => value.toString(16).toUpperCase().padStart(2, '0');
