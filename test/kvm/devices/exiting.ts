// A device module for tests: a write ends the thread that it lives on.

import type { DeviceHandlers } from '../../../shared/device.ts';

export function createDevice(): DeviceHandlers {
  return {
    write() {
      process.exit(9);
    },
  };
}
