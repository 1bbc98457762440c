// Where the bundled workers lie: dist/workers of the package, from wherever this code runs. Main thread.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../../../native/index.ts';

export type WorkerName =
  | 'vcpu-worker'
  | 'io-worker'
  | 'lab-actor-worker'
  | 'lab/gate-device'
  | 'serial-device'
  | 'virtio-balloon-device'
  | 'virtio-blk-device'
  | 'virtio-console-device'
  | 'virtio-net-device'
  | 'virtio-rng-device'
  | 'virtio-vsock-device';

/** The URL of a worker's entry, or of a device module that the library has on vCPUs' threads or the I/O worker. */
export function workerFile(name: WorkerName): URL {
  return distFile(`workers/${name}.js`);
}

/** The URL of a file that the build makes, `path` from dist/ on. */
export function distFile(path: string): URL {
  return pathToFileURL(join(packageRoot(), 'dist', path));
}
