// Which device answers a port or an address: validation of ranges, and the look-up tables. Runs on every thread; pure.
// The main thread builds the description once; each vCPU worker and device server looks things up in its own table over it.

import type { Device, DeviceSpec } from './device.ts';
import { isDeviceSpec } from './device.ts';
import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from './errors.ts';
import { hex, toU64 } from './units.ts';

const PORTS = 65_536;
/** Indices are 1-based in 16-bit words; 0 means that nobody claims the port. */
const DEVICES_MAX = 65_535;

/** A device without its handlers: structured-clonable. */
export interface DeviceEntry {
  readonly name: string;
  readonly where: 'main' | 'vcpu' | 'io';
  readonly pio?: { readonly base: number; readonly length: number };
  readonly mmio?: { readonly base: number; readonly length: number };
  readonly url?: string;
  readonly state?: SharedArrayBuffer;
  /** Registers of the VM's virtio device of this index. */
  readonly virtio?: number;
}

/** What a DeviceTable is made of, for other threads: all ports share one table in shared memory. */
export interface DeviceTableDescription {
  readonly entries: readonly DeviceEntry[];
  /** Uint16 per port: device index + 1. Absent when no device has ports. */
  readonly ports: SharedArrayBuffer | undefined;
}

/**
 * The device's ranges, checked. TypeError/RangeError for ranges of the wrong type or outside 16-bit ports, or for a
 * device without any range.
 */
export function describeDevice(device: Device | DeviceSpec): DeviceEntry {
  if (typeof device !== 'object' || device === null)
    throw invalidType('device', 'a Device or a deviceModule()', device);
  if (typeof device.name !== 'string' || device.name === '')
    throw invalidType('device.name', 'a non-empty string', device.name);
  const name = device.name;
  if (device.pio === undefined && device.mmio === undefined) {
    throw invalidType(`device '${name}'`, 'a device with a pio or an mmio range', device);
  }
  for (const range of ['pio', 'mmio'] as const) {
    const given: unknown = device[range];
    if (given !== undefined && (typeof given !== 'object' || given === null))
      throw invalidType(`device '${name}' ${range}`, 'an object with base and length', given);
  }
  const entry: { -readonly [K in keyof DeviceEntry]: DeviceEntry[K] } = { name, where: 'main' };
  if (device.pio !== undefined) {
    refuseUnknownKeys(device.pio, ['base', 'length'], `device '${name}' pio`);
    const { base, length } = device.pio;
    if (typeof base !== 'number') throw invalidType(`device '${name}' pio.base`, 'a number', base);
    if (typeof length !== 'number') throw invalidType(`device '${name}' pio.length`, 'a number', length);
    if (!Number.isInteger(base) || base < 0 || base >= PORTS)
      throw outOfRange(`device '${name}' pio.base`, 'a port from 0 to 0xffff', base);
    if (!Number.isInteger(length) || length < 1 || base + length > PORTS) {
      throw outOfRange(`device '${name}' pio.length`, `1 to ${hex(PORTS - base)} ports`, length);
    }
    entry.pio = { base, length };
  }
  if (device.mmio !== undefined) {
    refuseUnknownKeys(device.mmio, ['base', 'length'], `device '${name}' mmio`);
    const base = toU64(device.mmio.base, `device '${name}' mmio.base`);
    const length = toU64(device.mmio.length, `device '${name}' mmio.length`);
    if (length === 0 || !Number.isSafeInteger(base + length)) {
      throw outOfRange(`device '${name}' mmio.length`, 'at least 1, and to end below 2^53', device.mmio.length);
    }
    entry.mmio = { base, length };
  }
  if (isDeviceSpec(device)) {
    if (typeof device.url !== 'string') throw invalidType(`device '${name}' url`, 'a string', device.url);
    if (device.where !== 'vcpu' && device.where !== 'io')
      throw outOfRange(`device '${name}' where`, "'vcpu' or 'io'", device.where);
    if (device.state !== undefined && !(device.state instanceof SharedArrayBuffer))
      throw invalidType(`device '${name}' state`, 'a SharedArrayBuffer', device.state);
    entry.where = device.where;
    entry.url = device.url;
    if (device.state !== undefined) entry.state = device.state;
    return entry;
  }
  for (const handler of ['read', 'write'] as const) {
    if (device[handler] !== undefined && typeof device[handler] !== 'function') {
      throw invalidType(`device '${name}' ${handler}`, 'a function', device[handler]);
    }
  }
  return entry;
}

type Range = { readonly base: number; readonly length: number };

function overlap(a: Range | undefined, b: Range | undefined): boolean {
  return a !== undefined && b !== undefined && a.base < b.base + b.length && b.base < a.base + a.length;
}

function show(range: Range): string {
  return `${hex(range.base)}-${hex(range.base + range.length - 1)}`;
}

/** Do two devices claim the same port or address? */
export function devicesOverlap(a: DeviceEntry, b: DeviceEntry): boolean {
  return overlap(a.pio, b.pio) || overlap(a.mmio, b.mmio);
}

/** Checks that no two devices overlap (`ERR_DEVICE_OVERLAP`), and lays out the table of ports. */
export function describeTable(entries: readonly DeviceEntry[]): DeviceTableDescription {
  if (entries.length > DEVICES_MAX) throw outOfRange('devices.length', `at most ${DEVICES_MAX}`, entries.length);
  entries.forEach((a, i) => {
    for (const b of entries.slice(i + 1)) {
      if (a.pio !== undefined && b.pio !== undefined && overlap(a.pio, b.pio)) {
        throw new HypervisorError(
          'ERR_DEVICE_OVERLAP',
          `devices '${a.name}' (ports ${show(a.pio)}) and '${b.name}' (ports ${show(b.pio)}) overlap`,
        );
      }
      if (a.mmio !== undefined && b.mmio !== undefined && overlap(a.mmio, b.mmio)) {
        throw new HypervisorError(
          'ERR_DEVICE_OVERLAP',
          `devices '${a.name}' (addresses ${show(a.mmio)}) and '${b.name}' (addresses ${show(b.mmio)}) overlap`,
        );
      }
    }
  });
  if (!entries.some(entry => entry.pio !== undefined)) return { entries, ports: undefined };
  const ports = new SharedArrayBuffer(PORTS * 2);
  const table = new Uint16Array(ports);
  entries.forEach((entry, index) => {
    if (entry.pio !== undefined) table.fill(index + 1, entry.pio.base, entry.pio.base + entry.pio.length);
  });
  return { entries, ports };
}

/** The look-up. Nothing here allocates. */
export class DeviceTable {
  readonly entries: readonly DeviceEntry[];
  readonly #ports: Uint16Array | undefined;
  // MMIO ranges, ascending: first address, first address behind, device index.
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #owners: Int32Array;
  #lastHit = 0;

  constructor(description: DeviceTableDescription) {
    this.entries = description.entries;
    this.#ports = description.ports === undefined ? undefined : new Uint16Array(description.ports);
    const ranges = description.entries
      .flatMap((entry, index) => (entry.mmio === undefined ? [] : [{ ...entry.mmio, index }]))
      .sort((a, b) => a.base - b.base);
    this.#starts = Float64Array.from(ranges, range => range.base);
    this.#ends = Float64Array.from(ranges, range => range.base + range.length);
    this.#owners = Int32Array.from(ranges, range => range.index);
  }

  /** Index of the device that owns the port, or -1. */
  findPort(port: number): number {
    return this.#ports === undefined ? -1 : (this.#ports[port] ?? 0) - 1;
  }

  /** Index of the device that owns the guest physical address, or -1. */
  findMmio(addr: number): number {
    const starts = this.#starts;
    const ends = this.#ends;
    const last = this.#lastHit;
    // Comparisons with undefined (an empty table) are false, so that no special case is needed.
    if (addr >= (starts[last] ?? Infinity) && addr < (ends[last] ?? 0)) return this.#owners[last] ?? -1;
    let low = 0;
    let high = starts.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if (addr < (starts[middle] ?? 0)) high = middle - 1;
      else if (addr >= (ends[middle] ?? 0)) low = middle + 1;
      else {
        this.#lastHit = middle;
        return this.#owners[middle] ?? -1;
      }
    }
    return -1;
  }
}
