// A thread of the wake-up workload: asks and sleeps until it was answered, or sleeps until it was asked and answers. A worker thread; ends
// when the main thread says so in its words.

import { workerData } from 'node:worker_threads';
import { native } from '../../../native/index.ts';
import { BELL, BELL_OVER, ELAPSED_OFFSET, SAMPLES_MAX, SAMPLES_OFFSET } from '../../../shared/lab/storm.ts';

/** What the main thread sends along. */
export interface WakeWorkerData {
  readonly bell: SharedArrayBuffer;
  readonly role: 'ask' | 'answer';
  /** Processors that it may run on; empty: any. */
  readonly cpus: readonly number[];
}

/** Sleeps until the word is not `value` any more; returns what it is then. */
function awaitChange(words: Int32Array, index: number, value: number): number {
  for (;;) {
    const now = Atomics.load(words, index);
    if (now !== value) return now;
    Atomics.wait(words, index, value);
  }
}

function tell(words: Int32Array, index: number, value: number): void {
  Atomics.store(words, index, value);
  Atomics.notify(words, index);
}

function answer(words: Int32Array): void {
  for (let asked = 0; ; ) {
    asked = awaitChange(words, BELL.ASKED, asked);
    if (asked === BELL_OVER) return;
    tell(words, BELL.ANSWERED, asked);
  }
}

function ask(words: Int32Array, samples: Float64Array, elapsed: Float64Array): void {
  let question = 0;
  for (let round = 0; ; ) {
    round = awaitChange(words, BELL.ROUND, round);
    if (round === BELL_OVER) return;
    const count = Atomics.load(words, BELL.COUNT);
    const begin = process.hrtime.bigint();
    for (let i = 0; i < count; i++) {
      const start = process.hrtime.bigint();
      tell(words, BELL.ASKED, question + 1);
      while (Atomics.load(words, BELL.ANSWERED) === question) Atomics.wait(words, BELL.ANSWERED, question);
      question += 1;
      if (i < SAMPLES_MAX) samples[i] = Number(process.hrtime.bigint() - start);
    }
    elapsed[0] = Number(process.hrtime.bigint() - begin);
    Atomics.store(words, BELL.SAMPLES, Math.min(count, SAMPLES_MAX));
    tell(words, BELL.DONE, round);
  }
}

const { bell, role, cpus } = workerData as WakeWorkerData;
const words = new Int32Array(bell, 0, SAMPLES_OFFSET / 4);
if (cpus.length > 0) native().setAffinity(cpus);
Atomics.add(words, BELL.READY, 1);
Atomics.notify(words, BELL.READY);
if (role === 'answer') answer(words);
else ask(words, new Float64Array(bell, SAMPLES_OFFSET, SAMPLES_MAX), new Float64Array(bell, ELAPSED_OFFSET, 1));
