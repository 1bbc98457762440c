// Hazard: the owner disposes of guest memory while a worker still uses it; the worker's collector then drops the last reference,
// on a thread that did not map it. Needs --expose-gc.

import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { KvmMemory, type MemoryHandle } from 'node-kvm';
import { collect, isMapped } from '../../process-state.ts';

/** Kept here alone: not in workerData, which a thread holds for as long as it lives. */
const held: { buffer?: SharedArrayBuffer } = {};

if (isMainThread) {
  const worker = new Worker(fileURLToPath(import.meta.url));
  const hostAddr = sendAndDispose(worker);
  await once(worker, 'message');
  await collect();
  console.log(`owner is gone, mapped: ${isMapped(hostAddr)}`);
  worker.postMessage(hostAddr);
} else {
  parentPort?.once('message', takeBuffer);
}

/** In functions of their own, so that nothing on a thread's stack keeps the memory. */
function sendAndDispose(worker: Worker): bigint {
  const memory = new KvmMemory(1 << 20);
  memory.write(0, Uint8Array.of(1, 2, 3));
  worker.postMessage(memory.handle);
  worker.once('message', () => {
    memory[Symbol.dispose]();
  });
  return memory.hostAddress();
}

function takeBuffer(handle: MemoryHandle): void {
  held.buffer = KvmMemory.attach(handle).view(0, 4096).buffer;
  parentPort?.once('message', dropBuffer);
  parentPort?.postMessage('attached');
}

async function dropBuffer(hostAddr: bigint): Promise<void> {
  readBuffer();
  console.log('EVENT');
  delete held.buffer;
  await collect();
  console.log(`worker dropped it, mapped: ${isMapped(hostAddr)}`);
}

function readBuffer(): void {
  const bytes = new Uint8Array(held.buffer as SharedArrayBuffer, 0, 3);
  console.log(`the worker still reads ${Array.from(bytes)}`);
}
