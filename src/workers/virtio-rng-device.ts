// A VM's entropy device, as a module for its I/O worker: virtio-rng over this process's random number generator.

import { randomFillSync } from 'node:crypto';
import type { HostedVirtioDevice } from '../../shared/virtio/module.ts';
import { VirtioRng } from '../../shared/virtio/rng.ts';

export function createVirtioDevice(): HostedVirtioDevice {
  return new VirtioRng(view => randomFillSync(view));
}
