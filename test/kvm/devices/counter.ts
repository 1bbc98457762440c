// A device module for tests: counts its instances and its accesses in shared words, and notes the thread that it lives on.
// Words: 0 instances, 1 writes, 2 reads, 3 sum of the written values, 5 + vCPU (4: the I/O worker): the thread of that instance; 15: how many
// were closed.

import { threadId } from 'node:worker_threads';
import type { DeviceContext, DeviceHandlers } from '../../../shared/device.ts';

export function createDevice({ state, vcpu }: DeviceContext): DeviceHandlers {
  if (state === undefined) throw new Error('the counter needs shared state');
  const words = new Int32Array(state);
  Atomics.add(words, 0, 1);
  Atomics.store(words, 5 + vcpu, threadId);
  return {
    read: () => Atomics.add(words, 2, 1) + 1,
    write(_offset, _size, value) {
      Atomics.add(words, 1, 1);
      Atomics.add(words, 3, Number(value));
    },
    close() {
      Atomics.add(words, 15, 1);
    },
  };
}
