// The gate of the machine workloads' guest, as a device module: a read sleeps until the main thread starts the next round. Runs on each
// vCPU's own thread, so that both times are taken there: waking the main thread is no part of a round.

import type { DeviceContext, DeviceHandlers } from '../../../shared/device.ts';
import { ROUND_OVER, STATE, STATE_BYTES, TIMES, TIMES_OFFSET } from '../../../shared/lab/storm.ts';

export function createDevice({ state, vcpu }: DeviceContext): DeviceHandlers {
  if (state === undefined) throw new Error('the gate needs its words');
  const words = new Int32Array(state, vcpu * STATE_BYTES, TIMES_OFFSET / 4);
  const times = new Float64Array(state, vcpu * STATE_BYTES + TIMES_OFFSET, 2);
  let round = 0;
  return {
    read() {
      times[TIMES.END] = Number(process.hrtime.bigint());
      Atomics.store(words, STATE.DONE, round + 1);
      Atomics.notify(words, STATE.DONE);
      while (round !== ROUND_OVER && Atomics.load(words, STATE.ROUND) === round)
        Atomics.wait(words, STATE.ROUND, round);
      round = Atomics.load(words, STATE.ROUND);
      times[TIMES.START] = Number(process.hrtime.bigint());
      return 1;
    },
  };
}
