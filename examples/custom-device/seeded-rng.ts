// A virtio device of one's own: an entropy device whose bytes come from a seed, so that a guest's random numbers are the same in each run. Loaded on
// the VM's I/O worker by virtioDevice() of examples/custom-device.ts. A stock Linux drives it with virtio_rng, as any other of this type.

import { createCipheriv, createHash } from 'node:crypto';
import type { HostedVirtioDevice, VirtioDeviceContext } from 'node-kvm';

const ENTROPY_DEVICE = 4;
/** A guest decides how often it asks, not for how long we are busy. */
const BYTES_MAX = 64 * 1024;

export function createVirtioDevice({ name, data }: VirtioDeviceContext): HostedVirtioDevice {
  const key = createHash('sha256').update(String(data)).digest();
  const stream = createCipheriv('aes-256-ctr', key, new Uint8Array(16));
  return {
    name,
    id: ENTROPY_DEVICE,
    features: 0n,
    queueSizes: [8],
    onQueue: queue =>
      queue.serve(request => {
        const bytes = stream.update(new Uint8Array(Math.min(request.writableLength, BYTES_MAX)));
        return request.write(0, bytes);
      }),
  };
}
