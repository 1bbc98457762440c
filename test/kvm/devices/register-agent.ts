// A device module for tests, on the vCPU's thread: hands commands of the main thread to a guest that carries them out, and the results back. Words of the shared
// state: 0 command (0 none, 1 read, 2 write), 1 address, 2 value, 3 results so far, 4 the last result, 5 interrupts.

import type { DeviceContext, DeviceHandlers } from '../../../shared/device.ts';

export const COMMAND = 0;
export const ADDRESS = 1;
export const VALUE = 2;
export const RESULTS = 3;
export const RESULT = 4;
export const INTERRUPTS = 5;

/** So long the vCPU waits for a command: then it asks again, and interrupts and requests to stop have their turn. */
const PATIENCE_MS = 2;

export function createDevice({ state }: DeviceContext): DeviceHandlers {
  if (state === undefined) throw new Error('the agent needs shared state');
  const words = new Int32Array(state);
  return {
    read(offset) {
      if (offset === 0) Atomics.wait(words, COMMAND, 0, PATIENCE_MS);
      return Atomics.load(words, offset / 4) >>> 0;
    },
    write(offset, _size, value) {
      if (offset === 16) {
        Atomics.add(words, INTERRUPTS, 1);
        Atomics.notify(words, INTERRUPTS);
        return;
      }
      Atomics.store(words, COMMAND, 0);
      Atomics.store(words, RESULT, Number(value) | 0);
      Atomics.add(words, RESULTS, 1);
      Atomics.notify(words, RESULTS);
    },
  };
}
