// A device module for tests: every write throws.

import type { DeviceHandlers } from '../../../shared/device.ts';

export function createDevice(): DeviceHandlers {
  return {
    write() {
      throw new Error('the device is on fire');
    },
  };
}
