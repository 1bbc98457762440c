// Hazard: a machine is created inside a worker thread, and that thread ends while the vCPUs run: terminated from outside
// ('terminate'), by its own process.exit(5) ('exit'), or by an exception ('throw').

import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { threadCount } from '../../process-state.ts';
import { startSpinning } from '../../spinning-guest.ts';

const end = process.argv[2] ?? String(workerData);

if (isMainThread) {
  const before = threadCount();
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: end });
  worker.on('error', error => console.log(`error ${error.message}`));
  worker.on('message', async () => {
    console.log('EVENT');
    if (end === 'terminate') await worker.terminate();
    else worker.postMessage('go');
  });
  worker.on('exit', code => console.log(`exit ${code}, ${threadCount() - before} threads more`));
} else {
  await startSpinning();
  parentPort?.on('message', () => {
    if (end === 'exit') process.exit(5);
    throw new Error('thrown in the worker');
  });
  parentPort?.postMessage('running');
}
