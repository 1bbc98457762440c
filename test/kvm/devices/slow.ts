// A device module for tests: a read announces itself in word 0 of the shared words, then sleeps until word 1 is set (at most 5 s).

import type { DeviceContext, DeviceHandlers } from '../../../shared/device.ts';

export function createDevice({ state }: DeviceContext): DeviceHandlers {
  if (state === undefined) throw new Error('the slow device needs shared state');
  const words = new Int32Array(state);
  return {
    read() {
      Atomics.store(words, 0, 1);
      Atomics.wait(words, 1, 0, 5000);
      return 7;
    },
  };
}
