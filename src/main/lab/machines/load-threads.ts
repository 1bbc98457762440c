// Threads that load the machine beside its vCPUs: started together, asked to rest, and how far they are. Main thread; what they do is
// src/workers/lab/load-worker.ts.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { HypervisorError, messageOf } from '../../../../shared/errors.ts';
import { LOADER, LOADER_BYTES, LOADER_OVER } from '../../../../shared/lab/storm.ts';
import type { KvmMemory } from '../../memory/kvm-memory.ts';
import { distFile } from '../../vm/worker-file.ts';
import { requireResult } from './guest-mixes.ts';
import { pollUntil } from './poll.ts';

/** One thread, and the pages that it writes to. */
export interface LoadPlan {
  readonly kind: 'js' | 'wasm' | 'c';
  /** Guest-physical; of no meaning but to 'js'. */
  readonly at: number;
  readonly pages: number;
  readonly cpus: readonly number[];
}

interface Loader {
  readonly words: Int32Array;
  readonly exited: Promise<unknown>;
}

export class LoadThreads implements AsyncDisposable {
  readonly #loaders: readonly Loader[];
  /** Rejects when a thread fails. */
  readonly failed: Promise<never>;

  /** Resolves when all threads rest. @throws `ERR_LAB_ACTOR` */
  static async open(memory: KvmMemory, plans: readonly LoadPlan[]): Promise<LoadThreads> {
    const threads = new LoadThreads(memory, plans);
    try {
      await threads.#until(LOADER.WORKS, works => works === 0);
    } catch (error) {
      await threads[Symbol.asyncDispose]();
      throw error;
    }
    return threads;
  }

  /** @internal Use open(). */
  constructor(memory: KvmMemory, plans: readonly LoadPlan[]) {
    let fail: (error: HypervisorError) => void = () => {};
    this.failed = new Promise((_, reject) => {
      fail = reject;
    });
    this.failed.catch(() => {});
    this.#loaders = plans.map(plan => {
      const words = new Int32Array(new SharedArrayBuffer(LOADER_BYTES));
      words[LOADER.WORKS] = 1;
      const workerData = { ...plan, words: words.buffer, memory: memory.handle };
      const worker = new Worker(distFile('workers/lab/load-worker.js'), { workerData });
      worker.on('error', cause => {
        fail(new HypervisorError('ERR_LAB_ACTOR', `a load thread ended: ${messageOf(cause)}`, { cause }));
      });
      return { words, exited: once(worker, 'exit').catch(() => {}) };
    });
  }

  /** All begin to work; returns at once. */
  start(): void {
    this.#say(1);
  }

  /** Resolves when every thread has made two steps since: the second began after the call. @throws `ERR_LAB_ACTOR` */
  async stepped(): Promise<void> {
    const before = this.#loaders.map(({ words }) => Atomics.load(words, LOADER.STEPS));
    await this.#until(
      LOADER.STEPS,
      (steps, index) => steps - (before[index] ?? 0) >= 2 || steps < (before[index] ?? 0),
    );
  }

  /** Resolves when all rest. @throws `ERR_LAB_ACTOR`, `ERR_LAB_RESULT` when one read what it had not written */
  async rest(): Promise<void> {
    this.#say(0);
    await this.#until(LOADER.WORKS, works => works === 0);
    for (const [index, { words }] of this.#loaders.entries()) {
      const wrong = Atomics.load(words, LOADER.WRONG);
      requireResult(wrong === 0, () => `load thread ${index} read back ${wrong} times what it had not written`);
    }
  }

  /** Of one thread: the step it is at. Its next write is of the number after it. */
  stepsOf(index: number): number {
    return this.#word(index, LOADER.STEPS);
  }

  /** Of one thread: accesses that were refused, since the memory was gone. */
  refusedOf(index: number): number {
    return this.#word(index, LOADER.REFUSED);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#say(LOADER_OVER);
    await Promise.all(this.#loaders.map(({ exited }) => exited));
  }

  #word(index: number, word: number): number {
    const words = this.#loaders[index]?.words;
    return words === undefined ? 0 : Atomics.load(words, word);
  }

  #say(value: number): void {
    for (const { words } of this.#loaders) {
      Atomics.store(words, LOADER.GO, value);
      Atomics.notify(words, LOADER.GO);
    }
  }

  #until(word: number, holds: (value: number, index: number) => boolean): Promise<void> {
    const all = () => this.#loaders.every(({ words }, index) => holds(Atomics.load(words, word), index));
    return pollUntil(all, this.failed, 'a load thread did nothing');
  }
}
