// Hazard: the owner disposes of guest memory while a worker still uses it; the worker's collector then drops the last reference,
// on a thread that did not map it. Needs --expose-gc.

import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { KvmMemory, type MemoryHandle } from 'node-kvm';
import { collect, isMapped } from '../../process-state.ts';

if (isMainThread) {
  let memory: KvmMemory | undefined = new KvmMemory(1 << 20);
  const hostAddr = memory.hostAddress();
  memory.write(0, Uint8Array.of(1, 2, 3));
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: memory.handle });
  worker.once('message', async () => {
    memory?.[Symbol.dispose]();
    memory = undefined;
    await collect();
    console.log(`owner is gone, mapped: ${isMapped(hostAddr)}`);
    worker.postMessage(hostAddr);
  });
} else {
  let buffer: SharedArrayBuffer | undefined = attachAndTakeBuffer();
  parentPort?.postMessage('attached');
  parentPort?.once('message', async hostAddr => {
    console.log(`the worker still reads ${Array.from(new Uint8Array(buffer as SharedArrayBuffer, 0, 3))}`);
    buffer = undefined;
    console.log('EVENT');
    await collect();
    console.log(`worker dropped it, mapped: ${isMapped(hostAddr)}`);
  });
}

/** In a function of its own, so that nothing on this thread's stack keeps the memory. */
function attachAndTakeBuffer(): SharedArrayBuffer {
  const memory = KvmMemory.attach(workerData as MemoryHandle);
  return memory.view(0, 4096).buffer as SharedArrayBuffer;
}
