// virtio-rng, the entropy device (VIRTIO 1.2, 5.4): fills what the driver hands it. Device's thread; pure: the source of
// random bytes is handed in.

import { KIB } from '../units.ts';
import type { VirtioDevice } from './device.ts';
import type { Virtqueue } from './queue.ts';

const ENTROPY_DEVICE = 4;
const QUEUE_SIZE = 64;
/** A request is answered with at most so many bytes: a guest decides how often it asks, not for how long we are busy. */
const BYTES_MAX = 64 * KIB;

/** Entropy for the guest. `fill` stores random bytes in a view of guest memory: `randomFillSync` of `node:crypto` does. */
export class VirtioRng implements VirtioDevice {
  readonly name = 'virtio-rng';
  readonly id = ENTROPY_DEVICE;
  readonly features = 0n;
  readonly queueSizes = [QUEUE_SIZE];
  readonly #fill: (view: Uint8Array) => void;

  constructor(fill: (view: Uint8Array) => void) {
    this.#fill = fill;
  }

  onQueue(queue: Virtqueue): void {
    queue.serve(chain => {
      const length = Math.min(chain.writableLength, BYTES_MAX);
      for (const view of chain.writableViews(0, length)) this.#fill(view);
      chain.wrote(0, length);
      return length;
    });
  }
}
