// Two devices without which PC firmware does not get anywhere: CMOS and the host bridge. On the main thread.
// Sources: Intel 82441FX data sheet (PAM), PC/AT CMOS map as QEMU and SeaBIOS use it.

import type { Device, DeviceAccess, DeviceValue } from '../../../shared/device.ts';
import { HOLE_END, KIB, MIB } from '../../../shared/units.ts';
import { ascending, type RamRegion } from './ranges.ts';

const bcd = (value: number) => (Math.floor(value / 10) << 4) | (value % 10);

/** Ports 0x70 (index) and 0x71 (data): the clock, and what firmware wants to know about RAM and processors. */
export class CmosDevice implements Device {
  readonly name = 'cmos';
  readonly pio = { base: 0x70, length: 2 };
  readonly #bytes = new Uint8Array(128);
  #index = 0;

  constructor() {
    this.#bytes[0x0a] = 0x26; // divider on, no update in progress
    this.#bytes[0x0b] = 0x02; // 24 hours, BCD
    this.#bytes[0x0d] = 0x80; // the battery is good
  }

  /** Fills in the sizes of RAM below and above 4 GiB and the number of vCPUs. */
  describe(regions: readonly RamRegion[], vcpus: number): void {
    let low = 0;
    let high = HOLE_END;
    for (const { guestAddr, size } of ascending(regions)) {
      if (guestAddr === low) low += size;
      if (guestAddr === high) high += size;
    }
    this.#put(0x15, Math.min(640, low / KIB), 2); // KiB of conventional memory
    const extended = Math.min(0xffff, Math.max(0, low - MIB) / KIB);
    this.#put(0x17, extended, 2); // KiB above 1 MiB
    this.#put(0x30, extended, 2);
    this.#put(0x34, Math.max(0, low - 16 * MIB) / (64 * KIB), 2); // 64 KiB above 16 MiB, below 4 GiB
    this.#put(0x5b, (high - HOLE_END) / (64 * KIB), 3); // 64 KiB above 4 GiB
    this.#bytes[0x5f] = Math.min(0xff, vcpus - 1);
  }

  read(offset: number): DeviceValue {
    if (offset === 0) return 0xff;
    this.#setClock();
    return this.#bytes[this.#index] ?? 0xff;
  }

  write(offset: number, _size: number, value: DeviceValue): void {
    // Bit 7 of the index masks NMIs; there are none.
    if (offset === 0) this.#index = Number(value) & 0x7f;
    else this.#bytes[this.#index] = Number(value) & 0xff;
  }

  #put(at: number, value: number, bytes: number): void {
    for (let i = 0; i < bytes; i++) this.#bytes[at + i] = Math.floor(value / 2 ** (8 * i)) & 0xff;
  }

  #setClock(): void {
    const now = new Date();
    this.#bytes[0x00] = bcd(now.getUTCSeconds());
    this.#bytes[0x02] = bcd(now.getUTCMinutes());
    this.#bytes[0x04] = bcd(now.getUTCHours());
    this.#bytes[0x06] = bcd(now.getUTCDay() + 1);
    this.#bytes[0x07] = bcd(now.getUTCDate());
    this.#bytes[0x08] = bcd(now.getUTCMonth() + 1);
    this.#bytes[0x09] = bcd(now.getUTCFullYear() % 100);
    this.#bytes[0x32] = bcd(Math.floor(now.getUTCFullYear() / 100));
  }
}

/** What the host bridge changes about guest memory. */
export interface ShadowMemory {
  setReadOnly(addr: number, size: number, readOnly: boolean): void;
}

/** Pieces of 0xe0000–0xfffff that PAM switches: register, bit that enables writes, first address, size. */
const PAM_PIECES = [
  { register: 0x5e, bit: 0x02, start: 0xe_0000, size: 0x4000 },
  { register: 0x5e, bit: 0x20, start: 0xe_4000, size: 0x4000 },
  { register: 0x5f, bit: 0x02, start: 0xe_8000, size: 0x4000 },
  { register: 0x5f, bit: 0x20, start: 0xe_c000, size: 0x4000 },
  { register: 0x59, bit: 0x20, start: 0xf_0000, size: 0x1_0000 },
] as const;

/** Intel 82441FX, PCI device 0:0.0, and no other PCI device behind ports 0xcf8–0xcff; port 0xcf9 resets the machine. */
export class HostBridge implements Device {
  readonly name = 'host-bridge';
  readonly pio = { base: 0xcf8, length: 8 };
  readonly #config = new DataView(new ArrayBuffer(256));
  readonly #writable = new Set<number>();
  #address = 0;
  #memory: ShadowMemory | undefined;

  constructor() {
    this.#config.setUint32(0x00, 0x1237_8086, true); // device, vendor
    this.#config.setUint32(0x08, 0x0600_0002, true); // host bridge, revision 2
  }

  /** Connects the bridge with a VM whose RAM at 0xe0000 has just been made read-only. */
  attach(memory: ShadowMemory): void {
    this.#memory = memory;
    this.#writable.clear();
    for (const { register } of PAM_PIECES) this.#config.setUint8(register, 0);
  }

  read(offset: number, size: number): DeviceValue {
    if (offset < 4) return this.#address >>> (8 * offset);
    const register = this.#register(offset, size);
    if (register === undefined) return 0xffff_ffff;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.#config.getUint8(register + i);
    return value;
  }

  write(offset: number, size: number, value: DeviceValue, access: DeviceAccess): void {
    const bits = Number(value) >>> 0;
    if (offset === 0 && size === 4) this.#address = bits;
    // 0xcf9, the reset register: bit 2 resets.
    else if (offset === 1 && size === 1 && (bits & 4) !== 0) access.end('reset');
    if (offset < 4) return;
    const register = this.#register(offset, size);
    // Identity registers are read-only, as in any PCI device.
    if (register === undefined || register < 0x40) return;
    for (let i = 0; i < size; i++) this.#config.setUint8(register + i, (bits >>> (8 * i)) & 0xff);
    this.#applyPam();
  }

  /** The register that an access to 0xcfc–0xcff means, if the address register names this bridge. */
  #register(offset: number, size: number): number | undefined {
    const enabled = this.#address >>> 31 === 1;
    const busDeviceFunction = (this.#address >>> 8) & 0xffff;
    const register = (this.#address & 0xfc) + offset - 4;
    return enabled && busDeviceFunction === 0 && register + size <= 256 ? register : undefined;
  }

  /** Makes memory follow the PAM registers: neighbours that change alike change in one call. */
  #applyPam(): void {
    let run: { start: number; end: number; writable: boolean } | undefined;
    const apply = () => {
      if (run !== undefined) this.#memory?.setReadOnly(run.start, run.end - run.start, !run.writable);
      run = undefined;
    };
    for (const { register, bit, start, size } of PAM_PIECES) {
      const writable = (this.#config.getUint8(register) & bit) !== 0;
      if (writable === this.#writable.has(start)) continue;
      if (run === undefined || run.end !== start || run.writable !== writable) {
        apply();
        run = { start, end: start, writable };
      }
      run.end = start + size;
      if (writable) this.#writable.add(start);
      else this.#writable.delete(start);
    }
    apply();
  }
}
