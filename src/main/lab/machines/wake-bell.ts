// The main thread's end of a bell: its words, the worker threads that ask and answer, and a round of questions. Main thread.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type NativeEventFd, native } from '../../../../native/index.ts';
import { HypervisorError, messageOf } from '../../../../shared/errors.ts';
import {
  BELL,
  BELL_BYTES,
  BELL_OVER,
  ELAPSED_OFFSET,
  SAMPLES_MAX,
  SAMPLES_OFFSET,
  type WakeWorkerData,
} from '../../../../shared/lab/storm.ts';
import { distFile } from '../../vm/worker-file.ts';

/** Longer than any round: a thread that has not answered then never will. */
const ROUND_MS_MAX = 60_000;

export class WakeBell implements AsyncDisposable {
  readonly state = new SharedArrayBuffer(BELL_BYTES);
  readonly #words = new Int32Array(this.state, 0, SAMPLES_OFFSET / 4);
  readonly #samples = new Float64Array(this.state, SAMPLES_OFFSET, SAMPLES_MAX);
  readonly #elapsed = new Float64Array(this.state, ELAPSED_OFFSET, 1);
  readonly #workers: { readonly worker: Worker; readonly exited: Promise<unknown> }[] = [];
  readonly #stops: NativeEventFd[] = [];
  /** Rejects when a thread fails. */
  readonly failed: Promise<never>;
  #fail: (error: HypervisorError) => void = () => {};
  #round = 0;

  constructor() {
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    // Who waits for a thread sees it; nobody else needs to.
    this.failed.catch(() => {});
  }

  /** Starts a thread that works in JavaScript or (the baseline) in C, on one processor where given; resolves when it sleeps in its words. @throws `ERR_LAB_ACTOR` */
  addThread(role: 'ask' | 'answer', by: 'js' | 'c', cpu: number | undefined): Promise<void> {
    return this.#start({ role, by }, cpu);
  }

  /** Starts a thread that sleeps until the event is signalled, and answers what a guest has asked in its order; otherwise as addThread(). */
  addEventThread(by: 'js' | 'c', cpu: number | undefined, event: NativeEventFd, order: Uint8Array): Promise<void> {
    const stop = native().createEventFd();
    this.#stops.push(stop);
    return this.#start({ role: 'answer', by, guest: { event: event.id, stop: stop.id, order } }, cpu);
  }

  async #start(work: Pick<WakeWorkerData, 'role' | 'by' | 'guest'>, cpu: number | undefined): Promise<void> {
    const ready = Atomics.load(this.#words, BELL.READY);
    const workerData: WakeWorkerData = { bell: this.state, cpus: cpu === undefined ? [] : [cpu], ...work };
    const worker = new Worker(distFile('workers/lab/wake-worker.js'), { workerData });
    worker.on('error', cause => {
      this.#fail(new HypervisorError('ERR_LAB_ACTOR', `a thread of the bell ended: ${messageOf(cause)}`, { cause }));
    });
    this.#workers.push({ worker, exited: once(worker, 'exit').catch(() => {}) });
    await this.#unlessFailed(Atomics.waitAsync(this.#words, BELL.READY, ready, ROUND_MS_MAX).value);
  }

  /** Answers on this thread, until disposal: each question is awaited by Atomics.waitAsync. */
  async answerHere(): Promise<void> {
    for (let asked = 0; ; ) {
      await Atomics.waitAsync(this.#words, BELL.ASKED, asked).value;
      asked = Atomics.load(this.#words, BELL.ASKED);
      if (asked === BELL_OVER) return;
      Atomics.store(this.#words, BELL.ANSWERED, asked);
      Atomics.notify(this.#words, BELL.ANSWERED);
    }
  }

  /** Lets the asking thread ask so many questions; resolves when all are answered. @throws `ERR_LAB_ACTOR` */
  async askAll(count: number): Promise<void> {
    this.#round += 1;
    Atomics.store(this.#words, BELL.COUNT, count);
    Atomics.store(this.#words, BELL.ROUND, this.#round);
    Atomics.notify(this.#words, BELL.ROUND);
    const last = this.#round - 1;
    while (Atomics.load(this.#words, BELL.DONE) === last) {
      await this.#unlessFailed(Atomics.waitAsync(this.#words, BELL.DONE, last, ROUND_MS_MAX).value);
    }
  }

  /** Questions that were answered so far. */
  get answered(): number {
    return Atomics.load(this.#words, BELL.ANSWERED);
  }

  /** Nanoseconds of the last round, by the asking thread. */
  get elapsedNs(): number {
    return this.#elapsed[0] ?? Number.NaN;
  }

  /** Forgets the times of the round before: for devices, which add theirs one by one. */
  clearSamples(): void {
    Atomics.store(this.#words, BELL.SAMPLES, 0);
  }

  /** Nanoseconds from question to answer, of the last round: a copy, 65,536 at most. */
  samples(): Float64Array {
    return this.#samples.slice(0, Atomics.load(this.#words, BELL.SAMPLES));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const index of [BELL.ASKED, BELL.ROUND]) {
      Atomics.store(this.#words, index, BELL_OVER);
      Atomics.notify(this.#words, index);
    }
    for (const stop of this.#stops) stop.signal();
    await Promise.all(this.#workers.map(({ exited }) => exited));
    for (const stop of this.#stops) stop.close();
  }

  async #unlessFailed(woken: Promise<'ok' | 'timed-out'> | 'not-equal' | 'timed-out'): Promise<void> {
    if ((await Promise.race([woken, this.failed])) === 'timed-out') {
      throw new HypervisorError('ERR_LAB_ACTOR', `a thread of the bell did not answer within ${ROUND_MS_MAX} ms`);
    }
  }
}
