// The writing threads as the main thread steers them: started, stopped (acknowledged), let go, ended. All through shared words,
// since writers never return to their event loops. Main thread; writer.ts shares the words.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { KvmMemory } from 'node-kvm';
import { TAG, tagged, type WriterKind } from './layout.ts';

// The words. The main thread writes ORDER and PACE; each writer its own STATE and WRITES. ORDER and STATE are notified.
export const ORDER = 0;
export const PACE = 1;
export const STATE = 8;
export const WRITES = 24;
const WORDS = 40;

/** Bits of ORDER. Writers through the API go on while those that the library cannot see are stopped. */
export const ORDER_END = 1;
const STOP_API = 2;
const STOP_UNSEEN = 4;
const STOP_ALL = STOP_API | STOP_UNSEEN;

export const STATE_WRITING = 0;
export const STATE_RESTING = 1;

const FILE_SIZE = 1 << 20;
/** A writer that does not stop by then hangs. */
const STOP_LIMIT_MS = 60_000;

export interface WriterOrder {
  readonly words: Int32Array;
  readonly index: number;
  readonly kind: Exclude<WriterKind, 'guest'>;
  readonly stopBit: number;
  readonly seed: number;
  readonly file: string;
  readonly fileSize: number;
}

export class Writers implements AsyncDisposable {
  readonly #words = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  readonly #folder = mkdtempSync(join(tmpdir(), 'node-kvm-soak-'));
  readonly #orders: readonly WriterOrder[];
  readonly #workers: readonly Worker[];
  readonly #ends: readonly Promise<unknown>[];
  #failure: Error | undefined;

  /** One thread per kind; they begin at rest. `script`: writer.ts, compiled. */
  constructor(memory: KvmMemory, kinds: readonly WriterOrder['kind'][], seed: number, script: URL) {
    const file = join(this.#folder, 'words');
    writeFileSync(
      file,
      new Uint8Array(Uint32Array.from({ length: FILE_SIZE / 4 }, (_, n) => tagged(TAG.fs, n)).buffer),
    );
    Atomics.store(this.#words, ORDER, STOP_ALL);
    this.#orders = kinds.map((kind, index) => ({
      words: this.#words,
      index,
      kind,
      stopBit: kind === 'api' ? STOP_API : STOP_UNSEEN,
      seed: seed + 1000 * (index + 1),
      file,
      fileSize: FILE_SIZE,
    }));
    this.#workers = this.#orders.map(order => new Worker(script, { workerData: { ...order, handle: memory.handle } }));
    this.#ends = this.#workers.map(
      worker =>
        new Promise(resolve => {
          worker.on('error', error => {
            this.#failure ??= error;
          });
          worker.on('exit', resolve);
        }),
    );
  }

  /** Resolves when every thread has attached and rests. */
  async ready(): Promise<void> {
    const resting = () => this.#orders.every(({ index }) => Atomics.load(this.#words, STATE + index) === STATE_RESTING);
    while (!resting()) {
      this.check();
      await new Promise(resolve => setTimeout(resolve, 1));
    }
  }

  /** Throws what ended a thread. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** 0: as fast as it can be. Otherwise bursts of up to so many writes, with pauses between them. */
  go(pace: number): void {
    Atomics.store(this.#words, PACE, pace);
    this.#order(0);
  }

  /** Blocks until every thread rests. */
  stop(): void {
    this.#order(STOP_ALL);
    this.#await(STOP_ALL);
  }

  /** Runs `body` while those at rest that write past the library; writers through the API go on. */
  withoutUnseen(body: () => void): void {
    const before = Atomics.load(this.#words, ORDER);
    this.#order(before | STOP_UNSEEN);
    this.#await(STOP_UNSEEN);
    try {
      body();
    } finally {
      this.#order(before);
    }
  }

  /** Writes so far, by kind. */
  counts(): Partial<Record<WriterKind, number>> {
    return Object.fromEntries(
      this.#orders.map(({ kind, index }) => [kind, Atomics.load(this.#words, WRITES + index) >>> 0]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#order(ORDER_END);
    await Promise.all(this.#ends);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #order(order: number): void {
    Atomics.store(this.#words, ORDER, order);
    Atomics.notify(this.#words, ORDER);
  }

  #await(bits: number): void {
    for (const { index, stopBit, kind } of this.#orders) {
      if ((stopBit & bits) === 0) continue;
      const ended = Atomics.wait(this.#words, STATE + index, STATE_WRITING, STOP_LIMIT_MS);
      if (ended === 'timed-out') throw new Error(`the ${kind} writer did not stop within ${STOP_LIMIT_MS} ms`);
    }
  }
}
