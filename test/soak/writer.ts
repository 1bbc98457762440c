// A thread that writes: through the API, by raw stores, or by fs.read, until it is told to stop, to rest or to end. Worker; the
// other side is writers.ts. Imports the public API only.

import { openSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { KvmMemory, type MemoryHandle } from 'node-kvm';
import { TAG } from './layout.ts';
import { Random } from './random.ts';
import { apiScribble, fsScribble, rawScribble, type Scribble } from './scribble.ts';
import { ORDER, ORDER_END, PACE, STATE, STATE_RESTING, STATE_WRITING, WRITES, type WriterOrder } from './writers.ts';

const { handle, words, index, kind, stopBit, seed, file, fileSize } = workerData as WriterOrder & {
  readonly handle: MemoryHandle;
};
const memory = KvmMemory.attach(handle);
const random = new Random(seed);
const scribble = makeScribble();

function makeScribble(): Scribble {
  if (kind === 'api') return apiScribble(memory, random, TAG.api);
  if (kind === 'raw') return rawScribble(memory, random, TAG.raw);
  return fsScribble(memory, random, openSync(file, 'r'), fileSize);
}

/** Until it is told to end. */
function write(): void {
  for (;;) {
    const order = Atomics.load(words, ORDER);
    if ((order & ORDER_END) !== 0) return;
    if ((order & stopBit) !== 0) {
      Atomics.store(words, STATE + index, STATE_RESTING);
      Atomics.notify(words, STATE + index);
      Atomics.wait(words, ORDER, order);
      // Before the next look at ORDER: whoever orders a stop after that look finds us writing.
      Atomics.store(words, STATE + index, STATE_WRITING);
      continue;
    }
    const pace = Atomics.load(words, PACE);
    const burst = pace === 0 ? 64 : 1 + random.below(pace);
    for (let count = 0; count < burst; count++) scribble();
    Atomics.add(words, WRITES + index, burst);
    // A pause between bursts, which an order ends.
    if (pace !== 0) Atomics.wait(words, ORDER, order, random.below(4) / 2);
  }
}

try {
  write();
} finally {
  // Who waits for this thread to stop waits no longer, also when it failed.
  Atomics.store(words, STATE + index, STATE_RESTING);
  Atomics.notify(words, STATE + index);
}
