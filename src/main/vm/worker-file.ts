// Where the bundled workers lie: dist/workers of the package, from wherever this code runs. Main thread.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

export type WorkerName = 'vcpu-worker' | 'io-worker' | 'lab-actor-worker' | 'lab/gate-device';

/** The URL of a worker's entry, or of a device module that the library has on vCPUs' threads. */
export function workerFile(name: WorkerName): URL {
  return distFile(`workers/${name}.js`);
}

/** The package's folder, looked up once: every machine that starts asks for a worker's file. */
let root: string | undefined;

/** The URL of a file that the build makes, `path` from dist/ on. The package refers to itself: bundled into whatever, that is where dist/ is. */
export function distFile(path: string): URL {
  root ??= dirname(createRequire(import.meta.url).resolve('node-kvm/package.json'));
  return pathToFileURL(join(root, 'dist', path));
}
