// The device whose exits are measured: it counts writes, and does nothing else. Runs on the vCPU's own thread or on the I/O
// worker, as the measure asks for.

import type { DeviceContext, DeviceHandlers } from 'node-kvm';
import { COUNTED } from './guest.ts';

export function createDevice({ state }: DeviceContext): DeviceHandlers {
  if (state === undefined) throw new Error('the counter needs its word');
  const words = new Int32Array(state);
  return {
    write() {
      words[COUNTED] = (words[COUNTED] ?? 0) + 1;
    },
  };
}
