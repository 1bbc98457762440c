// Ends worker threads of this process that code under test has started: how tests let actors of the lab die in the middle of their work.

import type { Worker } from 'node:worker_threads';

/** Ends all threads that were started since and still are; says how many there were. */
export function endWorkers(): Disposable & { end(): number } {
  const workers = new Set<Worker>();
  const note = (worker: Worker) => {
    workers.add(worker);
    worker.once('exit', () => workers.delete(worker));
  };
  process.on('worker', note);
  return {
    end() {
      const count = workers.size;
      for (const worker of workers) void worker.terminate();
      return count;
    },
    [Symbol.dispose]: () => void process.off('worker', note),
  };
}
