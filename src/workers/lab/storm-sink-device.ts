// The device whose exits are measured: it counts writes per vCPU, and does nothing else. Runs on the vCPUs' own threads or on the I/O
// worker, as the workload asks for.

import type { DeviceContext, DeviceHandlers } from '../../../shared/device.ts';
import { STATE, STATE_BYTES } from '../../../shared/lab/storm.ts';

export function createDevice({ state }: DeviceContext): DeviceHandlers {
  if (state === undefined) throw new Error('the sink needs its words');
  const words = new Int32Array(state);
  return {
    write(_offset, _size, _value, { vcpu }) {
      const index = (vcpu * STATE_BYTES) / 4 + STATE.COUNTED;
      words[index] = (words[index] ?? 0) + 1;
    },
  };
}
