// A worker of the tests of the lab's kernels: runs one kernel as soon as all of its group are there, and posts its results. Started from the built file.

import { parentPort, workerData } from 'node:worker_threads';
import type { WasmMemory } from '../shared/memory-layout.ts';
import { DATA, type Kind, openKernels, type TestedKernel } from './lab-arena.ts';

export interface ThreadOrder {
  readonly memory: WasmMemory;
  readonly kind: Kind;
  readonly kernel: TestedKernel;
  readonly params: readonly number[];
  /** Threads of the group; the word that counts those that came is the first of the data. */
  readonly threads: number;
}

const { memory, kind, kernel, params, threads } = workerData as ThreadOrder;
const run = await openKernels(kind, memory);
const came = new Int32Array(memory.buffer, DATA, 1);
Atomics.add(came, 0, 1);
Atomics.notify(came, 0);
for (let seen = Atomics.load(came, 0); seen < threads; seen = Atomics.load(came, 0)) Atomics.wait(came, 0, seen);
parentPort?.postMessage(run(kernel, ...params));
