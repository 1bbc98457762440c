// A model of a virtio driver: sets a device up through its registers, builds split or packed rings in guest memory, and collects
// what was used. It keeps to the rules, so that a test that breaks one knows which. Pure; no KVM.

import { type KvmMemory, u16le, u32le, u64le } from 'node-kvm';
import { VIRTIO_F, type VirtioDevice } from '../shared/virtio/device.ts';
import { MMIO, STATUS, VirtioMmio } from '../shared/virtio/mmio.ts';

export interface Segment {
  readonly at: number;
  readonly length: number;
}

export interface RingChoice {
  readonly packed: boolean;
  readonly eventIndex: boolean;
  readonly indirect: boolean;
  /** Descriptors; a power of two. */
  readonly size: number;
}

/** Where the driver keeps things in guest memory: each ring within a page or some, tables of indirect descriptors behind. */
export const LAYOUT = {
  DESCRIPTORS: 0x1000,
  DRIVER: 0x3000,
  DEVICE: 0x4000,
  TABLES: 0x8000,
  BUFFERS: 0x2_0000,
} as const;
const TABLE_BYTES = 512;
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

interface Buffer {
  readonly slots: readonly number[];
}

export class ModelDriver {
  readonly mmio: VirtioMmio;
  readonly memory: KvmMemory;
  readonly choice: RingChoice;
  interrupts = 0;
  readonly faults: string[] = [];
  readonly #buffers = new Map<number, Buffer>();
  #free: number[];
  #available = 0;
  #seen = 0;
  // The packed ring's two positions, with their wrap counters.
  #position = 0;
  #wrap = true;
  #usedPosition = 0;
  #usedWrap = true;
  /** Index, or position, at the last kick. */
  #kicked = 0;

  constructor(device: VirtioDevice, memory: KvmMemory, choice: RingChoice) {
    this.memory = memory;
    this.choice = choice;
    this.#free = Array.from({ length: choice.size }, (_, i) => choice.size - 1 - i);
    this.mmio = new VirtioMmio(device, {
      memory,
      interrupt: {
        raise: () => {
          this.interrupts += 1;
        },
      },
      onFault: reason => this.faults.push(reason),
    });
  }

  get(register: number): number {
    return Number(this.mmio.read(register, 4));
  }

  set(register: number, value: number): void {
    this.mmio.write(register, 4, value);
  }

  /** Reset, negotiation, one queue, DRIVER_OK. `more`: features of the device that are accepted. */
  setUp(more = 0n): this {
    const { packed, eventIndex, indirect, size } = this.choice;
    this.set(MMIO.STATUS, 0);
    this.set(MMIO.STATUS, STATUS.ACKNOWLEDGE);
    this.set(MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER);
    const features =
      more |
      VIRTIO_F.VERSION_1 |
      (packed ? VIRTIO_F.RING_PACKED : 0n) |
      (eventIndex ? VIRTIO_F.EVENT_IDX : 0n) |
      (indirect ? VIRTIO_F.INDIRECT_DESC : 0n);
    for (const half of [0, 1]) {
      this.set(MMIO.DRIVER_FEATURES_SEL, half);
      this.set(MMIO.DRIVER_FEATURES, Number((features >> BigInt(32 * half)) & 0xffff_ffffn));
    }
    this.set(MMIO.STATUS, this.get(MMIO.STATUS) | STATUS.FEATURES_OK);
    this.set(MMIO.QUEUE_SEL, 0);
    this.set(MMIO.QUEUE_SIZE, size);
    this.set(MMIO.QUEUE_DESC_LOW, LAYOUT.DESCRIPTORS);
    this.set(MMIO.QUEUE_DRIVER_LOW, LAYOUT.DRIVER);
    this.set(MMIO.QUEUE_DEVICE_LOW, LAYOUT.DEVICE);
    this.set(MMIO.QUEUE_READY, 1);
    this.set(MMIO.STATUS, this.get(MMIO.STATUS) | STATUS.DRIVER_OK);
    return this;
  }

  /** Descriptors that are free. */
  get room(): number {
    return this.#free.length;
  }

  /** Makes a chain available; returns its id. Without `table` it takes a descriptor per segment. */
  add(readable: readonly Segment[], writable: readonly Segment[], table = false): number {
    const segments = [
      ...readable.map(segment => ({ ...segment, flags: 0 })),
      ...writable.map(segment => ({ ...segment, flags: WRITE })),
    ];
    const slots = this.#free.splice(this.#free.length - (table ? 1 : segments.length));
    slots.reverse();
    const id = slots[0] as number;
    let direct = segments;
    if (table) {
      const at = LAYOUT.TABLES + id * TABLE_BYTES;
      segments.forEach((segment, i) => {
        const last = i === segments.length - 1;
        this.#describe(
          at + 16 * i,
          segment,
          segment.flags | (last || this.choice.packed ? 0 : NEXT),
          last ? 0 : i + 1,
          0,
        );
      });
      direct = [{ at, length: 16 * segments.length, flags: INDIRECT }];
    }
    if (this.choice.packed) this.#addPacked(direct, id);
    else this.#addSplit(direct, slots);
    this.#buffers.set(id, { slots });
    return id;
  }

  /** Notifies the device if it asked for it; returns whether it did. */
  kick(): boolean {
    const { packed, eventIndex, size } = this.choice;
    const { memory } = this;
    let wanted: boolean;
    if (packed) wanted = memory.readObj(LAYOUT.DEVICE + 2, u16le) !== 1;
    else if (eventIndex) {
      const event = memory.readObj(LAYOUT.DEVICE + 4 + 8 * size, u16le);
      wanted = ((this.#available - event - 1) & 0xffff) < ((this.#available - this.#kicked) & 0xffff);
    } else wanted = (memory.readObj(LAYOUT.DEVICE, u16le) & 1) === 0;
    this.#kicked = this.#available;
    if (wanted) this.set(MMIO.QUEUE_NOTIFY, 0);
    return wanted;
  }

  /** What the device has used since the last time. */
  collect(): { id: number; length: number }[] {
    const used: { id: number; length: number }[] = [];
    const { memory } = this;
    for (;;) {
      let id: number;
      let length: number;
      if (this.choice.packed) {
        const at = LAYOUT.DESCRIPTORS + 16 * this.#usedPosition;
        const flags = memory.readObj(at + 14, u16le);
        if (((flags & 0x8000) !== 0) !== this.#usedWrap || ((flags & 0x80) !== 0) !== this.#usedWrap) return used;
        id = memory.readObj(at + 12, u16le);
        length = memory.readObj(at + 8, u32le);
      } else {
        if (memory.readObj(LAYOUT.DEVICE + 2, u16le) === this.#seen) return used;
        const at = LAYOUT.DEVICE + 4 + 8 * (this.#seen % this.choice.size);
        id = memory.readObj(at, u32le);
        length = memory.readObj(at + 4, u32le);
        this.#seen = (this.#seen + 1) & 0xffff;
      }
      const buffer = this.#buffers.get(id);
      if (buffer === undefined) throw new Error(`the device used ${id}, which it was not given`);
      this.#buffers.delete(id);
      this.#free.push(...buffer.slots);
      if (this.choice.packed) {
        this.#usedPosition += buffer.slots.length;
        if (this.#usedPosition >= this.choice.size) {
          this.#usedPosition -= this.choice.size;
          this.#usedWrap = !this.#usedWrap;
        }
      }
      used.push({ id, length });
    }
  }

  /** Asks for no interrupts, for one with each buffer (undefined), or for one when `after` more have been used. */
  wantInterrupts(wanted: boolean, after = 0): void {
    const { memory, choice } = this;
    if (choice.packed) {
      const position = this.#usedPosition + after;
      const lap = position >= choice.size ? !this.#usedWrap : this.#usedWrap;
      memory.writeObj(LAYOUT.DRIVER, u16le, (position % choice.size) | (lap ? 0x8000 : 0));
      memory.writeObj(LAYOUT.DRIVER + 2, u16le, wanted ? (choice.eventIndex ? 2 : 0) : 1);
    } else if (choice.eventIndex) {
      const event = wanted ? this.#seen + after : this.#seen - 1;
      memory.writeObj(LAYOUT.DRIVER + 4 + 2 * choice.size, u16le, event & 0xffff);
    } else memory.writeObj(LAYOUT.DRIVER, u16le, wanted ? 0 : 1);
  }

  #addSplit(segments: readonly (Segment & { flags: number })[], slots: readonly number[]): void {
    segments.forEach((segment, i) => {
      const next = slots[i + 1];
      const at = LAYOUT.DESCRIPTORS + 16 * (slots[i] as number);
      this.#describe(at, segment, segment.flags | (next === undefined ? 0 : NEXT), next ?? 0, 0);
    });
    const entry = LAYOUT.DRIVER + 4 + 2 * (this.#available % this.choice.size);
    this.memory.writeObj(entry, u16le, slots[0] as number);
    this.#available = (this.#available + 1) & 0xffff;
    this.memory.writeObj(LAYOUT.DRIVER + 2, u16le, this.#available);
  }

  #addPacked(segments: readonly (Segment & { flags: number })[], id: number): void {
    const head = this.#position;
    let headFlags = 0;
    segments.forEach((segment, i) => {
      const flags =
        segment.flags | (i === segments.length - 1 ? 0 : NEXT) | (this.#wrap ? 0x80 : 0) | (this.#wrap ? 0 : 0x8000);
      if (i === 0) headFlags = flags;
      const at = LAYOUT.DESCRIPTORS + 16 * this.#position;
      // The first descriptor's flags come last: they make the whole chain available.
      if (i === 0) this.#describe(at, segment, this.memory.readObj(at + 14, u16le), 0, id);
      else this.#describe(at, segment, flags, 0, id);
      this.#position += 1;
      if (this.#position === this.choice.size) {
        this.#position = 0;
        this.#wrap = !this.#wrap;
      }
    });
    this.memory.writeObj(LAYOUT.DESCRIPTORS + 16 * head + 14, u16le, headFlags);
  }

  /** `next` counts in split tables, `id` in packed ones. */
  #describe(at: number, { at: address, length }: Segment, flags: number, next: number, id: number): void {
    this.memory.writeObj(at, u64le, BigInt(address));
    this.memory.writeObj(at + 8, u32le, length);
    this.memory.writeObj(at + 12, u16le, this.choice.packed ? id : flags);
    this.memory.writeObj(at + 14, u16le, this.choice.packed ? flags : next);
  }
}
