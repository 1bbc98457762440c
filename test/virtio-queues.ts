// A model driver of devices with several queues: split rings without indirect tables, any number of queues, each with buffers of its own.
// What rings do is tested by virtio-driver.ts; here it is what devices do. Pure; no KVM.

import { type KvmMemory, u16le, u32le, u64le } from 'node-kvm';
import { VIRTIO_F, type VirtioDevice } from '../shared/virtio/device.ts';
import { MMIO, STATUS, VirtioMmio } from '../shared/virtio/mmio.ts';
import type { Segment } from './virtio-driver.ts';

const NEXT = 1;
const WRITE = 2;
/** Bytes of a queue's area: its three rings, page by page, then buffers. */
const QUEUE_AREA = 0x4_0000;
const BUFFERS = 0x4000;
const FIRST = 0x1_0000;

export interface Used {
  readonly id: number;
  /** Bytes that the device says it has written. */
  readonly length: number;
}

/** One split ring. Descriptors are taken in order of their numbers, so that a chain's id is where its buffers are. */
export class ModelQueue {
  readonly index: number;
  readonly size: number;
  readonly #driver: QueuesDriver;
  readonly #base: number;
  readonly #chains = new Map<number, readonly number[]>();
  readonly #free: number[];
  #available = 0;
  #seen = 0;

  constructor(driver: QueuesDriver, index: number, size: number) {
    this.#driver = driver;
    this.index = index;
    this.size = size;
    this.#base = FIRST + index * QUEUE_AREA;
    this.#free = Array.from({ length: size }, (_, i) => size - 1 - i);
    const { memory } = driver;
    memory.memset(this.#base, 0, BUFFERS);
    driver.set(MMIO.QUEUE_SEL, index);
    driver.set(MMIO.QUEUE_SIZE, size);
    driver.set(MMIO.QUEUE_DESC_LOW, this.#base);
    driver.set(MMIO.QUEUE_DRIVER_LOW, this.#base + 0x1000);
    driver.set(MMIO.QUEUE_DEVICE_LOW, this.#base + 0x2000);
    driver.set(MMIO.QUEUE_READY, 1);
  }

  get room(): number {
    return this.#free.length;
  }

  /** The id that the next chain will have. */
  get nextId(): number {
    return this.#free.at(-1) ?? -1;
  }

  /** A piece of this queue's own memory: `bytes` each, by number. */
  buffer(number: number, bytes: number): Segment {
    const at = this.#base + BUFFERS + number * bytes;
    if (at + bytes > this.#base + QUEUE_AREA) throw new Error(`buffer ${number} of ${bytes} bytes is outside`);
    return { at, length: bytes };
  }

  /** Makes a chain available; returns its id. */
  add(readable: readonly Segment[], writable: readonly Segment[]): number {
    const { memory } = this.#driver;
    const segments = [
      ...readable.map(segment => ({ ...segment, flags: 0 })),
      ...writable.map(segment => ({ ...segment, flags: WRITE })),
    ];
    const slots = segments.map(() => {
      const slot = this.#free.pop();
      if (slot === undefined) throw new Error('no descriptor is free');
      return slot;
    });
    const head = slots[0] as number;
    segments.forEach((segment, i) => {
      const at = this.#base + 16 * (slots[i] as number);
      const next = slots[i + 1];
      memory.writeObj(at, u64le, BigInt(segment.at));
      memory.writeObj(at + 8, u32le, segment.length);
      memory.writeObj(at + 12, u16le, segment.flags | (next === undefined ? 0 : NEXT));
      memory.writeObj(at + 14, u16le, next ?? 0);
    });
    memory.writeObj(this.#base + 0x1004 + 2 * (this.#available % this.size), u16le, head);
    this.#available = (this.#available + 1) & 0xffff;
    memory.writeObj(this.#base + 0x1002, u16le, this.#available);
    this.#chains.set(head, slots);
    return head;
  }

  kick(): void {
    this.#driver.set(MMIO.QUEUE_NOTIFY, this.index);
  }

  /** What the device has used since the last time. */
  collect(): Used[] {
    const { memory } = this.#driver;
    const used: Used[] = [];
    const end = memory.readObj(this.#base + 0x2002, u16le);
    for (; this.#seen !== end; this.#seen = (this.#seen + 1) & 0xffff) {
      const at = this.#base + 0x2004 + 8 * (this.#seen % this.size);
      const id = memory.readObj(at, u32le);
      const slots = this.#chains.get(id);
      if (slots === undefined) throw new Error(`the device used ${id}, which it was not given`);
      this.#chains.delete(id);
      this.#free.push(...[...slots].reverse());
      used.push({ id, length: memory.readObj(at + 4, u32le) });
    }
    return used;
  }
}

export class QueuesDriver {
  readonly mmio: VirtioMmio;
  readonly memory: KvmMemory;
  readonly faults: string[] = [];
  queues: ModelQueue[] = [];
  interrupts = 0;
  /** Called with each interrupt, in a later turn of the event loop, as a driver's handler runs. */
  onInterrupt: (() => void) | undefined;
  #scheduled = false;

  constructor(device: VirtioDevice, memory: KvmMemory) {
    this.memory = memory;
    this.mmio = new VirtioMmio(device, {
      memory,
      interrupt: { raise: () => this.#raised() },
      onFault: reason => this.faults.push(reason),
    });
  }

  get(register: number): number {
    return Number(this.mmio.read(register, 4));
  }

  set(register: number, value: number): void {
    this.mmio.write(register, 4, value);
  }

  get needsReset(): boolean {
    return (this.mmio.status & STATUS.NEEDS_RESET) !== 0;
  }

  /** Reset, negotiation of `features`, queues of these sizes (0: not used), DRIVER_OK. */
  setUp(features: bigint, sizes: readonly number[]): this {
    this.set(MMIO.STATUS, 0);
    this.set(MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER);
    for (const half of [0, 1]) {
      this.set(MMIO.DRIVER_FEATURES_SEL, half);
      this.set(MMIO.DRIVER_FEATURES, Number(((features | VIRTIO_F.VERSION_1) >> BigInt(32 * half)) & 0xffff_ffffn));
    }
    this.set(MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.FEATURES_OK);
    this.queues = sizes.map((size, index) => new ModelQueue(this, index, size));
    this.set(MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.FEATURES_OK | STATUS.DRIVER_OK);
    return this;
  }

  queue(index: number): ModelQueue {
    const queue = this.queues[index];
    if (queue === undefined) throw new Error(`no queue ${index}`);
    return queue;
  }

  #raised(): void {
    this.interrupts += 1;
    if (this.#scheduled || this.onInterrupt === undefined) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.onInterrupt?.();
    });
  }
}
