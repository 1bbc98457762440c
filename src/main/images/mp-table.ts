// The MP table: how kernels without ACPI find processors and interrupts. Main thread; pure.
// Source: Intel MultiProcessor Specification 1.4, chapter 4.

import { IOAPIC_ADDR } from '../../../shared/devices/ioapic.ts';
import { type CheckedHardware, LAPIC_ADDR, TIMER_PIN } from './hardware.ts';

const POINTER_SIZE = 16;
const HEADER_SIZE = 44;
/** 8-bit APIC ids: 0xff addresses all, and the IOAPIC needs one of its own. Further vCPUs are for ACPI alone. */
const PROCESSORS_MAX = 254;
const ISA_BUS = 0;
const ISA_IRQS = 16;
/** The second PIC is connected there on a PC; the IOAPIC has the timer at that pin. */
const CASCADE_IRQ = 2;
const ALL_LAPICS = 0xff;
const EDGE_ACTIVE_HIGH = 0b0101;

// Kinds of entries, and of interrupts.
const PROCESSOR = 0;
const BUS = 1;
const IOAPIC = 2;
const INTERRUPT = 3;
const LOCAL_INTERRUPT = 4;
const VECTORED = 0;
const NMI = 1;
const EXTERNAL = 3;

/** The floating pointer and the configuration table behind it, for address `base`, a multiple of 16 where kernels look for it. */
export function mpTable(base: number, vcpus: number, hardware: CheckedHardware): Uint8Array {
  const processors = Math.min(vcpus, PROCESSORS_MAX);
  const ioapic = processors;
  const entries: number[][] = [];
  for (let id = 0; id < processors; id++) {
    // Enabled; the first one is the boot processor. Signature: family 6; features: FPU and APIC.
    entries.push([PROCESSOR, id, 0x14, id === 0 ? 3 : 1, 0x00, 0x06, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  }
  entries.push([BUS, ISA_BUS, ...ascii('ISA   ')]);
  entries.push([IOAPIC, ioapic, 0x11, 1, ...littleEndian(IOAPIC_ADDR, 4)]);
  for (let irq = 0; irq < ISA_IRQS; irq++) {
    if (irq === CASCADE_IRQ || (irq === 0 && !hardware.timer)) continue;
    entries.push([INTERRUPT, VECTORED, 0, 0, ISA_BUS, irq, ioapic, irq === 0 ? TIMER_PIN : irq]);
  }
  for (const { irq } of [...hardware.virtio, ...hardware.serial])
    if (irq >= ISA_IRQS) entries.push([INTERRUPT, VECTORED, EDGE_ACTIVE_HIGH, 0, ISA_BUS, irq, ioapic, irq]);
  // Of the PIC, which comes with the timer.
  if (hardware.timer) entries.push([LOCAL_INTERRUPT, EXTERNAL, 0, 0, ISA_BUS, 0, ALL_LAPICS, 0]);
  entries.push([LOCAL_INTERRUPT, NMI, 0, 0, ISA_BUS, 0, ALL_LAPICS, 1]);

  const body = entries.flat();
  const size = HEADER_SIZE + body.length;
  const bytes = new Uint8Array(POINTER_SIZE + size);
  const pointer = bytes.subarray(0, POINTER_SIZE);
  const config = bytes.subarray(POINTER_SIZE);
  pointer.set([...ascii('_MP_'), ...littleEndian(base + POINTER_SIZE, 4), 1, 4]);
  pointer[10] = checksum(pointer);
  config.set([...ascii('PCMP'), ...littleEndian(size, 2), 4, 0, ...ascii('NODE-KVMVIRTUAL PC  ')]);
  config.set([...littleEndian(entries.length, 2), ...littleEndian(LAPIC_ADDR, 4)], 34);
  config.set(body, HEADER_SIZE);
  config[7] = checksum(config);
  return bytes;
}

const ascii = (text: string) => [...text].map(character => character.charCodeAt(0));

const littleEndian = (value: number, count: number) =>
  Array.from({ length: count }, (_, i) => (value >>> (8 * i)) & 0xff);

function checksum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}
