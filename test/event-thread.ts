// A worker thread that sleeps until one of several eventfds is signalled, and counts the reports of each: for tests of events between threads. Its entry, and the
// main thread's end of it.

import { once } from 'node:events';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { type NativeEventFd, native } from '../native/index.ts';

interface ThreadData {
  readonly ids: readonly number[];
  /** Reports of each event, then 1 when the thread is about to wait. */
  readonly seen: Int32Array;
}

const LIMIT_MS = 10_000;

export class EventThread {
  readonly #stop = native().createEventFd();
  readonly #seen: Int32Array;
  /** Kept: a handle that is collected is closed, and the thread would find no event. */
  readonly events: readonly NativeEventFd[];
  readonly worker: Worker;
  readonly #exited: Promise<unknown>;

  /** Attaches to the events by their ids. `script`: this file as built; callers in a test's own folder need not say it. */
  constructor(events: readonly NativeEventFd[], script = new URL('../event-thread.js', import.meta.url)) {
    this.events = events;
    const ids = [...events, this.#stop].map(({ id }) => id);
    this.#seen = new Int32Array(new SharedArrayBuffer(4 * (ids.length + 1)));
    const data: ThreadData = { ids, seen: this.#seen };
    this.worker = new Worker(script, { workerData: data });
    this.#exited = once(this.worker, 'exit');
  }

  /** Resolves when it waits. */
  started(): Promise<void> {
    return this.#until(this.#seen.length - 1, 1);
  }

  /** Resolves when the event of this index was reported so often. */
  reported(index: number, times: number): Promise<void> {
    return this.#until(index, times);
  }

  reports(index: number): number {
    return Atomics.load(this.#seen, index);
  }

  /** Ends it by its own event. */
  async stop(): Promise<void> {
    this.#stop.signal();
    await this.#exited;
    this.#stop.close();
  }

  async #until(index: number, value: number): Promise<void> {
    for (let now = this.reports(index); now < value; now = this.reports(index)) {
      const woken = await Atomics.waitAsync(this.#seen, index, now, LIMIT_MS).value;
      if (woken === 'timed-out') throw new Error(`event ${index} was reported ${now} times, not ${value}`);
    }
  }
}

function count(seen: Int32Array, index: number): void {
  Atomics.add(seen, index, 1);
  Atomics.notify(seen, index);
}

if (!isMainThread) {
  const { ids, seen } = workerData as ThreadData;
  const waiter = native().createEventWaiter(ids.map(id => native().attachEventFd(id)));
  const ready = new Uint32Array(ids.length);
  count(seen, ids.length);
  for (let stopped = false; !stopped; ) {
    for (const index of ready.subarray(0, waiter.wait(1000, ready))) {
      count(seen, index);
      stopped ||= index === ids.length - 1;
    }
  }
}
