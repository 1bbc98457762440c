// balloon(): a memory balloon for a VM, with the application's side of it. Main thread.

import { MessageChannel } from 'node:worker_threads';
import { BALLOON_WORDS } from '../../../shared/virtio/balloon-link.ts';
import type { VirtioDeviceSpec } from '../../../shared/virtio/module.ts';
import { workerFile } from '../vm/worker-file.ts';
import { BalloonHost } from './balloon-host.ts';
import { virtioDevice } from './virtio-device.ts';

/** What the application does with it, and `device` for the VM's option `virtio`. */
export interface Balloon extends BalloonHost {
  readonly device: VirtioDeviceSpec;
}

/**
 * A virtio-balloon device, for one VM. What the guest gives up, and what it reports as free by itself, goes back to the host, where memory
 * is anonymous or a memfd without explicit huge pages; dirty tracking has such pages as written.
 */
export function balloon(): Balloon {
  const { port1, port2 } = new MessageChannel();
  const words = new SharedArrayBuffer(BALLOON_WORDS * BigUint64Array.BYTES_PER_ELEMENT);
  const device = virtioDevice(workerFile('virtio-balloon-device'), {
    name: 'balloon',
    data: { port: port1, words },
    transfer: [port1],
  });
  return Object.assign(new BalloonHost(port2, words), { device });
}
