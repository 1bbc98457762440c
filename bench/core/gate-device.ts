// The gate as a device module: a read sleeps until the main thread starts the next round and answers its number of exits.
// Runs on the vCPU's own thread, so that both times are taken there: waking the main thread is not part of a round.

import type { DeviceContext, DeviceHandlers } from 'node-kvm';
import { COUNT, DONE, END_TIME, OVER, ROUND, START_TIME, TIMES_OFFSET } from './guest.ts';

export function createDevice({ state }: DeviceContext): DeviceHandlers {
  if (state === undefined) throw new Error('the gate needs its words');
  const words = new Int32Array(state);
  const times = new Float64Array(state, TIMES_OFFSET);
  let round = 0;
  return {
    read() {
      times[END_TIME] = Number(process.hrtime.bigint());
      Atomics.store(words, DONE, round + 1);
      Atomics.notify(words, DONE);
      Atomics.wait(words, ROUND, round);
      round = Atomics.load(words, ROUND);
      times[START_TIME] = Number(process.hrtime.bigint());
      return round === OVER ? 1 : Atomics.load(words, COUNT);
    },
  };
}
