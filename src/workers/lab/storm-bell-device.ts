// The doorbell of the machine workloads, as a device module: a write asks a JavaScript thread, a read sleeps until it has answered. Runs on
// the vCPU's own thread.

import type { DeviceContext, DeviceHandlers } from '../../../shared/device.ts';
import { BELL, SAMPLES_MAX, SAMPLES_OFFSET, STORM_PORTS } from '../../../shared/lab/storm.ts';

const ANSWER = STORM_PORTS.ANSWER - STORM_PORTS.BELL;

export function createDevice({ state }: DeviceContext): DeviceHandlers {
  if (state === undefined) throw new Error('the doorbell needs its words');
  const words = new Int32Array(state, 0, SAMPLES_OFFSET / 4);
  const samples = new Float64Array(state, SAMPLES_OFFSET, SAMPLES_MAX);
  let question = 0;
  let start = 0n;
  return {
    write() {
      start = process.hrtime.bigint();
      question += 1;
      Atomics.store(words, BELL.ASKED, question);
      Atomics.notify(words, BELL.ASKED);
    },
    read(offset) {
      if (offset !== ANSWER) return 0;
      while (Atomics.load(words, BELL.ANSWERED) !== question) {
        // Nobody answers any more once the machine is being ended.
        if (Atomics.wait(words, BELL.ANSWERED, question - 1, 10_000) === 'timed-out') break;
      }
      const taken = Atomics.load(words, BELL.SAMPLES);
      if (taken < SAMPLES_MAX) samples[taken] = Number(process.hrtime.bigint() - start);
      Atomics.store(words, BELL.SAMPLES, Math.min(taken + 1, SAMPLES_MAX));
      return question;
    },
  };
}
