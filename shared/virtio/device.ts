// What a virtio device is, apart from its transport and its rings: features, configuration, and what it does with chains.
// Public: users write their own. Runs on the thread of its transport; pure types and the feature bits of the rings.

import type { GuestMemory } from '../guest-memory.ts';
import type { Virtqueue } from './queue.ts';

/** Bits that belong to rings and transport (VIRTIO 1.2, section 6). A device neither offers nor sees to them. */
export const VIRTIO_F = {
  INDIRECT_DESC: 1n << 28n,
  EVENT_IDX: 1n << 29n,
  VERSION_1: 1n << 32n,
  RING_PACKED: 1n << 34n,
} as const;

/** What a transport offers for every device: all of them are optional for the driver, except VERSION_1. */
export const RING_FEATURES = VIRTIO_F.INDIRECT_DESC | VIRTIO_F.EVENT_IDX | VIRTIO_F.VERSION_1 | VIRTIO_F.RING_PACKED;

/** Bits 24 to 40 and 41 to 49 are not a device's (2.2). */
export const RESERVED_FEATURES = ((1n << 50n) - 1n) ^ ((1n << 24n) - 1n);

/** The machine, as a device that a driver has set up sees it. Valid until `reset()`. */
export interface VirtioContext {
  readonly memory: GuestMemory;
  /** What device and driver agreed on. */
  readonly features: bigint;
  /** By index; undefined where the driver does not use a queue. */
  queue(index: number): Virtqueue | undefined;
  /** What `config()` returns has changed: tells the driver. */
  configChanged(): void;
  /** The driver broke a rule of this device's: it gets nothing more until it resets the device. */
  fault(reason: string): void;
}

/** Handlers are synchronous; what takes longer puts its chains back later. None of them is called between reset and start. */
export interface VirtioDevice {
  readonly name: string;
  /** The device's type (section 5): 2 is a block device. */
  readonly id: number;
  /** The device's own bits, 0 to 23 and from 50 on. */
  readonly features: bigint;
  /** Descriptors of each queue at most; powers of two up to 32,768. */
  readonly queueSizes: readonly number[];
  /** The configuration space, as it is now. */
  config?(): Uint8Array;
  /** The driver wrote to the configuration space. Default: it may not, and nothing happens. */
  writeConfig?(offset: number, bytes: Uint8Array): void;
  /** The driver is ready (DRIVER_OK). Queues that have chains already are notified right after. */
  start?(context: VirtioContext): void;
  /** The driver has made chains available. Take them until there are none, or come back by yourself. */
  onQueue(queue: Virtqueue): void;
  /** Forget everything; chains in flight may be put back, to no effect. */
  reset?(): void;
}
