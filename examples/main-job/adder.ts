// A worker thread that adds to the very word on which the vCPUs use `lock xadd`. It meets them first, so that all work at
// the same time.

import { workerData } from 'node:worker_threads';
import { KvmMemory, type MemoryHandle, u32le } from 'node-kvm';
import { ARRIVED_ADDRESS } from '../guest/guest.ts';

interface Task {
  readonly memory: MemoryHandle;
  readonly counter: number;
  readonly adds: number;
  readonly participants: number;
}

const task = workerData as Task;
const memory = KvmMemory.attach(task.memory);

memory.atomics.add(ARRIVED_ADDRESS, u32le, 1);
for (;;) {
  const arrived = memory.atomics.load(ARRIVED_ADDRESS, u32le);
  if (arrived >= task.participants) break;
  // A vCPU cannot notify: look again every millisecond.
  memory.atomics.wait(ARRIVED_ADDRESS, u32le, arrived, 1);
}
for (let i = 0; i < task.adds; i++) memory.atomics.add(task.counter, u32le, 1);
