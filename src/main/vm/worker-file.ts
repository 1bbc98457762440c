// Where the bundled workers lie: dist/workers, beside the library's own file. Main thread.

export type WorkerName = 'vcpu-worker' | 'io-worker';

/** The URL of a worker's entry. All files of dist/ that hold this module lie in dist/ itself, index.js and chunks alike. */
export function workerFile(name: WorkerName): URL {
  return new URL(`./workers/${name}.js`, import.meta.url);
}
