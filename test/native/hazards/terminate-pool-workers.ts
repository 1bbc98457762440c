// Hazard: somebody terminates the very workers that drive running vCPUs. The machine says so, and nothing hangs.

import type { Worker } from 'node:worker_threads';
import { startSpinning } from '../../spinning-guest.ts';

const workers: Worker[] = [];
process.on('worker', worker => workers.push(worker));
const vm = await startSpinning({ cpl: process.argv[2] === '0' ? 0 : 3 });

console.log('EVENT');
await Promise.all(workers.map(worker => worker.terminate()));
const { reason, error } = await vm.finished;
console.log(`finished ${reason} ${error?.code}`);
await vm[Symbol.asyncDispose]();
console.log('disposed');
