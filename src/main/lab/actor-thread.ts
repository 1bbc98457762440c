// One actor that is a thread, as the main thread sees it: started, ready, ended. Main thread.

import { Worker } from 'node:worker_threads';
import { HypervisorError, messageOf } from '../../../shared/errors.ts';
import type { ActorData } from '../../../shared/lab/actor-words.ts';
import { fromWire, type WireError } from '../../../shared/wire-error.ts';
import { workerFile } from '../vm/worker-file.ts';

type ActorMessage = { readonly type: 'ready' } | { readonly type: 'failed'; readonly error: WireError };

/** What an actor that is asked to end may take for its last kernel. */
const GRACE_MS = 2000;

export class ActorThread {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #name: string;
  #isEnding = false;

  /** Resolves when the thread waits for its first order; rejects with `ERR_LAB_ACTOR` when it ends before. */
  readonly ready: Promise<void>;

  /** Starts the thread at once. `onDeath` is told when it fails or ends without having been asked to. */
  constructor(data: ActorData, onDeath: (error: HypervisorError) => void) {
    this.#name = `${data.kind} actor ${data.actor}`;
    const worker = new Worker(workerFile('lab-actor-worker'), { workerData: data, name: `node-kvm lab ${data.kind}` });
    this.#worker = worker;
    this.ready = new Promise((resolve, reject) => {
      const die = (why: string, cause?: unknown) => {
        if (this.#isEnding) return;
        this.#isEnding = true;
        const error = new HypervisorError('ERR_LAB_ACTOR', `${this.#name} ${why}`, { cause });
        reject(error);
        onDeath(error);
      };
      worker.on('message', (message: ActorMessage) => {
        if (message.type === 'ready') resolve();
        else {
          const cause = fromWire(message.error);
          die(`failed: ${messageOf(cause)}`, cause);
        }
      });
      worker.once('error', cause => die(`died: ${messageOf(cause)}`, cause));
      worker.once('exit', code => die(`ended with status ${code}`));
    });
    // Whoever opens a team awaits it; when another actor's start fails first, nobody does.
    this.ready.catch(() => {});
    this.#exited = new Promise(resolve => worker.once('exit', () => resolve()));
  }

  /** EPOCH has said that it is over: waits for the thread's end. One that does not end by itself is ended, a C kernel not before it returns. */
  async close(): Promise<void> {
    this.#isEnding = true;
    const timer = setTimeout(() => void this.#worker.terminate(), GRACE_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}
