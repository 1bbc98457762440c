// A thread of the wake-up workload: asks and sleeps until it was answered, or sleeps until it was asked and answers. A worker thread; ends
// when the main thread says so in its words.

import { workerData } from 'node:worker_threads';
import { type NativeEventWaiter, native } from '../../../native/index.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import {
  BELL,
  BELL_OVER,
  ELAPSED_OFFSET,
  ORDER,
  ORDER_BYTES,
  SAMPLES_MAX,
  SAMPLES_OFFSET,
  type WakeWorkerData,
} from '../../../shared/lab/storm.ts';

/** A wait comes back after so long: entering a JavaScript function is where a thread can be ended. */
const WAIT_MS = 250;

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

/** The same by C, which comes back now and then: entering a JavaScript function is where a thread can be ended. */
function answerByC(bell: SharedArrayBuffer): void {
  const over = BELL_OVER >>> 0;
  const step = (seen: number) => native().wakeAnswer(wordOf(bell, BELL.ASKED), wordOf(bell, BELL.ANSWERED), seen, over);
  for (let seen = 0; seen !== over; ) seen = step(seen);
}

/** Answers a guest: each signal of the waiter's event 0 is a question, the other event ends it. */
function answerEvents(words: Int32Array, waiter: NativeEventWaiter, guest: Uint8Array): void {
  const order = new Int32Array(guest.buffer, guest.byteOffset, ORDER_BYTES / 4);
  const ready = new Uint32Array(1);
  for (let answers = 0; ; ) {
    if (waiter.wait(WAIT_MS, ready) === 0) continue;
    if (ready[0] !== 0) return;
    answers += 1;
    Atomics.store(words, BELL.ANSWERED, answers);
    Atomics.store(order, ORDER.ANSWERED, Atomics.load(order, ORDER.ASKED));
  }
}

/** The same by C. */
function answerEventsByC(bell: SharedArrayBuffer, waiter: NativeEventWaiter, guest: Uint8Array): void {
  const orderWord = (index: number) => guest.subarray(4 * index, 4 * index + 4);
  const [asked, answered, count] = [orderWord(ORDER.ASKED), orderWord(ORDER.ANSWERED), wordOf(bell, BELL.ANSWERED)];
  const step = () => native().wakeAnswerEvent(waiter, asked, answered, count);
  while (step());
}

const wordOf = (bell: SharedArrayBuffer, index: number) => new Uint8Array(bell, 4 * index, 4);

/** Asks `count` questions, numbered from `last` + 1 on; nanoseconds of all. */
type AskAll = (last: number, count: number) => number;

const askByC = (bell: SharedArrayBuffer, samples: Float64Array): AskAll => {
  const [asked, answered] = [wordOf(bell, BELL.ASKED), wordOf(bell, BELL.ANSWERED)];
  return (last, count) => {
    const ns = native().wakeAsk(asked, answered, last, count, samples);
    if (ns === 0) throw new HypervisorError('ERR_LAB_ACTOR', 'a question was not answered within 10 s');
    return ns;
  };
};

const askByJs = (words: Int32Array, samples: Float64Array): AskAll => {
  return (last, count) => {
    const begin = process.hrtime.bigint();
    for (let i = 0; i < count; i++) {
      const start = process.hrtime.bigint();
      const question = last + i;
      tell(words, BELL.ASKED, question + 1);
      while (Atomics.load(words, BELL.ANSWERED) === question) Atomics.wait(words, BELL.ANSWERED, question);
      if (i < SAMPLES_MAX) samples[i] = Number(process.hrtime.bigint() - start);
    }
    return Number(process.hrtime.bigint() - begin);
  };
};

function ask(words: Int32Array, elapsed: Float64Array, askAll: AskAll): void {
  let last = 0;
  for (let round = 0; ; ) {
    round = awaitChange(words, BELL.ROUND, round);
    if (round === BELL_OVER) return;
    const count = Atomics.load(words, BELL.COUNT);
    elapsed[0] = askAll(last, count);
    last += count;
    Atomics.store(words, BELL.SAMPLES, Math.min(count, SAMPLES_MAX));
    tell(words, BELL.DONE, round);
  }
}

const { bell, role, by, cpus, guest } = workerData as WakeWorkerData;
const words = new Int32Array(bell, 0, SAMPLES_OFFSET / 4);
if (cpus.length > 0) native().setAffinity(cpus);
const waiter = guest && native().createEventWaiter([guest.event, guest.stop].map(id => native().attachEventFd(id)));
Atomics.add(words, BELL.READY, 1);
Atomics.notify(words, BELL.READY);
if (guest !== undefined && waiter !== undefined) {
  if (by === 'c') answerEventsByC(bell, waiter, guest.order);
  else answerEvents(words, waiter, guest.order);
} else if (role === 'answer') {
  if (by === 'c') answerByC(bell);
  else answer(words);
} else {
  const samples = new Float64Array(bell, SAMPLES_OFFSET, SAMPLES_MAX);
  ask(words, new Float64Array(bell, ELAPSED_OFFSET, 1), by === 'c' ? askByC(bell, samples) : askByJs(words, samples));
}
