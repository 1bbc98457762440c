// The ports that a writing guest reads its orders from, as a device module: the first sleeps until there is one. Runs on the vCPU's
// own thread, so that both times are taken there.

import type { DeviceContext, DeviceHandlers } from 'node-kvm';
import {
  DONE,
  END_TIME,
  ORDER,
  ORDER_WORDS,
  OVER,
  ROUND,
  START_TIME,
  TIMES_OFFSET,
  VCPU_BYTES,
} from './writer-guest.ts';

export function createDevice({ state, vcpu }: DeviceContext): DeviceHandlers {
  if (state === undefined) throw new Error('the gate needs its words');
  const words = new Int32Array(state, vcpu * VCPU_BYTES, TIMES_OFFSET / 4);
  const times = new Float64Array(state, vcpu * VCPU_BYTES + TIMES_OFFSET, 2);
  let round = 0;
  return {
    read(offset) {
      const word = offset / 4;
      if (word === 0) {
        times[END_TIME] = Number(process.hrtime.bigint());
        Atomics.store(words, DONE, round + 1);
        Atomics.notify(words, DONE);
        Atomics.wait(words, ROUND, round);
        round = Atomics.load(words, ROUND);
        // One step, while the VM is being stopped.
        if (round === OVER) return 1;
      }
      if (word === ORDER_WORDS - 1) times[START_TIME] = Number(process.hrtime.bigint());
      return (words[ORDER + word] ?? 0) >>> 0;
    },
  };
}
