// A device module for tests that never has its device: it ends its thread, or keeps it busy for ever, as its name says.

import type { DeviceContext, DeviceHandlers } from '../../../shared/device.ts';

export function createDevice({ name }: DeviceContext): DeviceHandlers {
  if (name === 'exits') process.exit(0);
  for (;;);
}
