// The virtio-mmio transport, version 2 (VIRTIO 1.2, 4.2): registers, feature negotiation, status, queue set-up, interrupts.
// Runs on one thread with its device; pure. A driver's notification comes as a write to QUEUE_NOTIFY or, where the machine has
// an ioeventfd there, by notify(); the device's interrupt goes to whoever was handed in. Nothing a guest does throws out of here.

import type { DeviceHandlers, DeviceValue } from '../device.ts';
import type { Interrupt } from '../devices/interrupt.ts';
import { outOfRange } from '../errors.ts';
import type { GuestMemory } from '../guest-memory.ts';
import { isMemoryError, QueueFault } from './chain.ts';
import { RESERVED_FEATURES, RING_FEATURES, VIRTIO_F, type VirtioContext, type VirtioDevice } from './device.ts';
import { PackedRing } from './packed-ring.ts';
import { type QueueHost, Virtqueue } from './queue.ts';
import { RING_SIZE_MAX, type RingOptions } from './ring.ts';
import { SplitRing } from './split-ring.ts';

/** Registers (4.2.2), each 32 bits; the configuration space follows, of any width. */
export const MMIO = {
  MAGIC: 0x000,
  VERSION: 0x004,
  DEVICE_ID: 0x008,
  VENDOR_ID: 0x00c,
  DEVICE_FEATURES: 0x010,
  DEVICE_FEATURES_SEL: 0x014,
  DRIVER_FEATURES: 0x020,
  DRIVER_FEATURES_SEL: 0x024,
  QUEUE_SEL: 0x030,
  QUEUE_SIZE_MAX: 0x034,
  QUEUE_SIZE: 0x038,
  QUEUE_READY: 0x044,
  QUEUE_NOTIFY: 0x050,
  INTERRUPT_STATUS: 0x060,
  INTERRUPT_ACK: 0x064,
  STATUS: 0x070,
  QUEUE_DESC_LOW: 0x080,
  QUEUE_DESC_HIGH: 0x084,
  QUEUE_DRIVER_LOW: 0x090,
  QUEUE_DRIVER_HIGH: 0x094,
  QUEUE_DEVICE_LOW: 0x0a0,
  QUEUE_DEVICE_HIGH: 0x0a4,
  SHM_LENGTH_LOW: 0x0b0,
  SHM_BASE_HIGH: 0x0bc,
  CONFIG_GENERATION: 0x0fc,
  CONFIG: 0x100,
} as const;

/** Bytes of address space that a device takes up. */
export const MMIO_SIZE = 0x1000;
const MAGIC = 0x7472_6976; // 'virt'
const VERSION = 2;
const VENDOR = 0x4d56_4b4e; // 'NKVM'
export const STATUS = {
  ACKNOWLEDGE: 1,
  DRIVER: 2,
  DRIVER_OK: 4,
  FEATURES_OK: 8,
  NEEDS_RESET: 64,
  FAILED: 128,
} as const;
export const INTERRUPT_QUEUE = 1;
export const INTERRUPT_CONFIG = 2;

export interface VirtioMmioOptions {
  readonly memory: GuestMemory;
  readonly interrupt: Interrupt;
  /** The driver broke a rule and the device waits for its reset: for a log. */
  onFault?(reason: string): void;
  /** The device's own code threw outside of a guest's access. Default: it is thrown, which ends the process. */
  onError?(error: unknown): void;
}

/** What the driver says of a queue before it is ready. */
interface QueueSetup {
  size: number;
  /** Low and high halves of the three addresses, by register. */
  readonly address: Map<number, number>;
  queue: Virtqueue | undefined;
}

export class VirtioMmio implements DeviceHandlers {
  readonly device: VirtioDevice;
  readonly #options: VirtioMmioOptions;
  readonly #offered: bigint;
  readonly #setups: QueueSetup[];
  readonly #queueHost: QueueHost;
  /** There from DRIVER_OK to the reset; one object each time. */
  #context: VirtioContext | undefined;
  #accepted = 0n;
  #deviceFeaturesSelect = 0;
  #driverFeaturesSelect = 0;
  #queueSelect = 0;
  #status = 0;
  #interruptStatus = 0;
  #generation = 0;
  #paused = false;

  /** @throws RangeError for features or queue sizes that a device cannot have */
  constructor(device: VirtioDevice, options: VirtioMmioOptions) {
    if ((device.features & RESERVED_FEATURES) !== 0n)
      throw outOfRange(`device '${device.name}' features`, 'bits 0 to 23 and from 50 on', device.features);
    for (const size of device.queueSizes) {
      if (!Number.isInteger(size) || size < 1 || size > RING_SIZE_MAX || (size & (size - 1)) !== 0)
        throw outOfRange(`device '${device.name}' queue size`, 'a power of two up to 32,768', size);
    }
    this.device = device;
    this.#options = options;
    this.#offered = device.features | RING_FEATURES;
    this.#setups = device.queueSizes.map(newSetup);
    const isPaused = () => this.#paused;
    this.#queueHost = {
      memory: options.memory,
      get isPaused() {
        return isPaused();
      },
      fault: reason => this.#fault(reason),
      interrupt: () => this.#interrupt(INTERRUPT_QUEUE),
      later: work => setImmediate(() => this.#outsideOfAccess(work)),
    };
  }

  /** The status register, for tests and logs. */
  get status(): number {
    return this.#status;
  }

  /** The driver has made chains available in queue `index`: what a write to QUEUE_NOTIFY says, and an ioeventfd. */
  notify(index: number): void {
    if (this.#paused || (this.#status & (STATUS.DRIVER_OK | STATUS.NEEDS_RESET)) !== STATUS.DRIVER_OK) return;
    const queue = this.#setups[index]?.queue;
    if (queue?.isOpen === true) this.device.onQueue(queue);
  }

  /** The device gets no chains until `resume()`, whoever asks: a paused machine's rings stand still. What it has, it may still put back. */
  pause(): void {
    this.#paused = true;
  }

  /** The device looks at every queue: what was made available or asked for meanwhile has not been seen. */
  resume(): void {
    this.#paused = false;
    this.#notifyAll();
  }

  read(offset: number, size: number): DeviceValue {
    if (offset >= MMIO.CONFIG) return this.#readConfig(offset - MMIO.CONFIG, size);
    return size === 4 && offset % 4 === 0 ? this.#readRegister(offset) >>> 0 : 0;
  }

  write(offset: number, size: number, value: DeviceValue): void {
    if (offset >= MMIO.CONFIG) this.#writeConfig(offset - MMIO.CONFIG, size, value);
    else if (size === 4 && offset % 4 === 0) this.#writeRegister(offset, Number(value));
  }

  #readRegister(offset: number): number {
    const setup = this.#setups[this.#queueSelect];
    switch (offset) {
      case MMIO.MAGIC:
        return MAGIC;
      case MMIO.VERSION:
        return VERSION;
      case MMIO.DEVICE_ID:
        return this.device.id;
      case MMIO.VENDOR_ID:
        return VENDOR;
      case MMIO.DEVICE_FEATURES:
        return half(this.#offered, this.#deviceFeaturesSelect);
      case MMIO.QUEUE_SIZE_MAX:
        return this.device.queueSizes[this.#queueSelect] ?? 0;
      case MMIO.QUEUE_READY:
        return setup?.queue === undefined ? 0 : 1;
      case MMIO.INTERRUPT_STATUS:
        return this.#interruptStatus;
      case MMIO.STATUS:
        return this.#status;
      case MMIO.CONFIG_GENERATION:
        return this.#generation;
      default:
        // A shared memory region that is not there has the length and the base -1.
        return offset >= MMIO.SHM_LENGTH_LOW && offset <= MMIO.SHM_BASE_HIGH ? -1 : 0;
    }
  }

  #writeRegister(offset: number, value: number): void {
    switch (offset) {
      case MMIO.DEVICE_FEATURES_SEL:
        this.#deviceFeaturesSelect = value;
        return;
      case MMIO.DRIVER_FEATURES_SEL:
        this.#driverFeaturesSelect = value;
        return;
      case MMIO.DRIVER_FEATURES:
        this.#acceptFeatures(value);
        return;
      case MMIO.QUEUE_SEL:
        this.#queueSelect = value;
        return;
      case MMIO.QUEUE_NOTIFY:
        this.notify(value);
        return;
      case MMIO.INTERRUPT_ACK:
        this.#interruptStatus &= ~value;
        if (this.#interruptStatus === 0) this.#options.interrupt.lower?.();
        return;
      case MMIO.STATUS:
        this.#setStatus(value & 0xff);
        return;
      default:
        this.#setUpQueue(offset, value);
    }
  }

  #acceptFeatures(value: number): void {
    // Between DRIVER and FEATURES_OK only; afterwards they hold until the reset.
    if ((this.#status & (STATUS.DRIVER | STATUS.FEATURES_OK)) !== STATUS.DRIVER) return;
    if (this.#driverFeaturesSelect > 1) return;
    const shift = BigInt(32 * this.#driverFeaturesSelect);
    this.#accepted = (this.#accepted & ~(0xffff_ffffn << shift)) | (BigInt(value >>> 0) << shift);
  }

  /** 0 → ACKNOWLEDGE → DRIVER → FEATURES_OK → DRIVER_OK; bits are only ever added, until 0 resets. */
  #setStatus(value: number): void {
    if (value === 0) {
      this.#reset();
      return;
    }
    // NEEDS_RESET is ours: a driver that reads, adds a bit and writes only repeats it.
    let added = value & ~this.#status & ~STATUS.NEEDS_RESET;
    if ((added & STATUS.FEATURES_OK) !== 0 && !this.#featuresAreFine(value)) added &= ~STATUS.FEATURES_OK;
    const ready = STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.FEATURES_OK;
    if (((this.#status | added) & ready) !== ready) added &= ~STATUS.DRIVER_OK;
    this.#status |= added;
    if ((added & STATUS.DRIVER_OK) !== 0 && (this.#status & STATUS.NEEDS_RESET) === 0) this.#start();
  }

  /** The driver must not take what was not offered, and must take VERSION_1: without it this would be a legacy device. */
  #featuresAreFine(status: number): boolean {
    return (
      ((this.#status | status) & STATUS.DRIVER) !== 0 &&
      (this.#accepted & ~this.#offered) === 0n &&
      (this.#accepted & VIRTIO_F.VERSION_1) !== 0n
    );
  }

  #start(): void {
    const context: VirtioContext = {
      memory: this.#options.memory,
      features: this.#accepted,
      queue: index => this.#setups[index]?.queue,
      configChanged: () => this.#configChanged(context),
      fault: reason => {
        if (context === this.#context) this.#fault(reason);
      },
    };
    this.#context = context;
    this.device.start?.(context);
    // Chains that were made available before need no notification.
    this.#notifyAll();
  }

  #notifyAll(): void {
    for (let index = 0; index < this.#setups.length; index++) this.notify(index);
  }

  #reset(): void {
    const started = this.#context !== undefined;
    this.#context = undefined;
    for (const setup of this.#setups) setup.queue?.close();
    this.device.queueSizes.forEach((size, index) => {
      this.#setups[index] = newSetup(size);
    });
    this.#accepted = 0n;
    this.#deviceFeaturesSelect = 0;
    this.#driverFeaturesSelect = 0;
    this.#queueSelect = 0;
    this.#status = 0;
    if (this.#interruptStatus !== 0) this.#options.interrupt.lower?.();
    this.#interruptStatus = 0;
    if (started) this.device.reset?.();
  }

  #setUpQueue(offset: number, value: number): void {
    const setup = this.#setups[this.#queueSelect];
    const negotiated = (this.#status & (STATUS.FEATURES_OK | STATUS.NEEDS_RESET)) === STATUS.FEATURES_OK;
    if (setup === undefined || !negotiated) return;
    if (offset === MMIO.QUEUE_READY) {
      if ((value & 1) === 0) {
        setup.queue?.close();
        setup.queue = undefined;
      } else setup.queue ??= this.#openQueue(setup);
    } else if (setup.queue === undefined) {
      if (offset === MMIO.QUEUE_SIZE) setup.size = value;
      else if (offset >= MMIO.QUEUE_DESC_LOW && offset <= MMIO.QUEUE_DEVICE_HIGH)
        setup.address.set(offset, value >>> 0);
    }
  }

  #openQueue(setup: QueueSetup): Virtqueue | undefined {
    const index = this.#queueSelect;
    const most = this.device.queueSizes[index] ?? 0;
    const address = (low: number) => (setup.address.get(low + 4) ?? 0) * 2 ** 32 + (setup.address.get(low) ?? 0);
    const accepted = (feature: bigint) => (this.#accepted & feature) !== 0n;
    const ring: RingOptions = {
      memory: this.#options.memory,
      size: setup.size,
      descriptors: address(MMIO.QUEUE_DESC_LOW),
      driver: address(MMIO.QUEUE_DRIVER_LOW),
      device: address(MMIO.QUEUE_DEVICE_LOW),
      eventIndex: accepted(VIRTIO_F.EVENT_IDX),
      indirect: accepted(VIRTIO_F.INDIRECT_DESC),
    };
    try {
      if (setup.size > most) throw new QueueFault(`${setup.size} entries, where ${most} are the most`);
      const made = accepted(VIRTIO_F.RING_PACKED) ? new PackedRing(ring) : new SplitRing(ring);
      return new Virtqueue(index, setup.size, made, this.#queueHost);
    } catch (error) {
      if (!(error instanceof QueueFault) && !isMemoryError(error)) throw error;
      this.#fault(`queue ${index}: ${error.message}`);
      return undefined;
    }
  }

  #readConfig(offset: number, size: number): DeviceValue {
    const config = this.device.config?.();
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(config?.[offset + i] ?? 0);
    return size <= 4 ? Number(value) : value;
  }

  #writeConfig(offset: number, size: number, value: DeviceValue): void {
    if (this.device.writeConfig === undefined || this.#context === undefined) return;
    const bytes = new Uint8Array(size);
    for (let i = 0; i < size; i++) bytes[i] = Number((BigInt(value) >> BigInt(8 * i)) & 0xffn);
    this.device.writeConfig(offset, bytes);
  }

  #configChanged(context: VirtioContext): void {
    if (context !== this.#context) return;
    this.#generation = (this.#generation + 1) >>> 0;
    this.#interrupt(INTERRUPT_CONFIG);
  }

  /** DEVICE_NEEDS_RESET, and a configuration interrupt so that the driver looks (2.1.2). */
  #fault(reason: string): void {
    if ((this.#status & STATUS.NEEDS_RESET) !== 0) return;
    this.#status |= STATUS.NEEDS_RESET;
    for (const setup of this.#setups) setup.queue?.close();
    if ((this.#status & STATUS.DRIVER_OK) !== 0) this.#interrupt(INTERRUPT_CONFIG);
    this.#options.onFault?.(reason);
  }

  #interrupt(cause: number): void {
    this.#interruptStatus |= cause;
    // Also when it is set already: on an edge-triggered line the driver may have read it, and not the ring, just before.
    this.#options.interrupt.raise();
  }

  #outsideOfAccess(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (this.#options.onError === undefined) throw error;
      this.#options.onError(error);
    }
  }
}

function newSetup(size: number): QueueSetup {
  return { size, address: new Map(), queue: undefined };
}

/** The 32 bits of a feature word that a selector names. */
function half(features: bigint, select: number): number {
  return select > 1 ? 0 : Number((features >> BigInt(32 * select)) & 0xffff_ffffn);
}
