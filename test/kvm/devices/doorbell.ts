// A device module for tests: a write stores its value in the shared words and wakes whoever waits for them.

import type { DeviceContext, DeviceHandlers } from '../../../shared/device.ts';

export function createDevice({ state }: DeviceContext): DeviceHandlers {
  if (state === undefined) throw new Error('the doorbell needs shared state');
  const words = new Int32Array(state);
  return {
    write(_offset, _size, value) {
      Atomics.store(words, 0, Number(value));
      Atomics.notify(words, 0);
    },
  };
}
