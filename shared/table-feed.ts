// How an attached thread learns of changed region tables. Runs on every thread but the owner's; pure (a BroadcastChannel is a
// global of the platform; reading it synchronously is not, so that function is handed in).
//
// The owner stores POSTED = n, posts table n, stores GENERATION = n and notifies. A post puts the message into every open
// channel's queue before it returns, so whoever sees GENERATION = n finds table n in its queue: no waiting.
// Only tables posted before the channel was opened can be missed. Hence, once it is open: POSTED equal to the handle's
// generation proves that none was; otherwise the owner is asked to post again, and this thread sleeps on GENERATION.

import { HypervisorError } from './errors.ts';
import {
  DISPOSED,
  GENERATION,
  type MemoryHandle,
  type MemoryMessage,
  POSTED,
  type RegionDescriptor,
} from './memory-layout.ts';

/** Longest wait for the owner's answer: it answers from its event loop. */
const ANSWER_MS = 1000;

export interface PostedTable {
  readonly generation: number;
  readonly regions: readonly RegionDescriptor[];
}

/** The type of the global class, which Node's types declare as a value only. */
export type Channel = InstanceType<typeof BroadcastChannel>;

/** `receiveMessageOnPort`, which works on a BroadcastChannel too. */
export type ReceiveMessage = (channel: Channel) => { readonly message: unknown } | undefined;

export class TableFeed {
  readonly #channel: Channel;
  readonly #words: Int32Array;
  readonly #receive: ReceiveMessage;
  #latest: PostedTable;

  /** @throws HypervisorError `ERR_DISPOSED`; `ERR_TIMEOUT` when the handle is old and its owner does not answer within 1 s. */
  constructor(handle: MemoryHandle, words: Int32Array, receive: ReceiveMessage) {
    this.#words = words;
    this.#receive = receive;
    this.#latest = handle;
    this.#channel = new BroadcastChannel(handle.channel);
    this.#channel.unref();
    try {
      if (Atomics.load(words, POSTED) !== handle.generation) this.#ask();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The newest table that was posted. */
  refresh(): PostedTable {
    this.#drain();
    return this.#latest;
  }

  /** Calls `update` from the event loop when a table arrives, so that a thread at rest lets go of removed regions too. */
  onTable(update: (table: PostedTable) => void): void {
    this.#channel.onmessage = (event: unknown) => {
      // SAFETY: only MemoryMessages are posted on a channel whose name is a random UUID of the owner's.
      this.#take((event as { readonly data: MemoryMessage }).data);
      update(this.#latest);
    };
    this.#channel.unref();
  }

  close(): void {
    this.#channel.close();
  }

  #take(message: MemoryMessage): void {
    if (message.type === 'table' && message.generation > this.#latest.generation) this.#latest = message;
  }

  #drain(): void {
    for (let got = this.#receive(this.#channel); got !== undefined; got = this.#receive(this.#channel)) {
      this.#take(got.message as MemoryMessage);
    }
  }

  #ask(): void {
    const asked = this.#latest.generation;
    const deadline = Date.now() + ANSWER_MS;
    this.#channel.postMessage({ type: 'sync' } satisfies MemoryMessage);
    for (;;) {
      const generation = Atomics.load(this.#words, GENERATION);
      this.#drain();
      if (Atomics.load(this.#words, DISPOSED) !== 0)
        throw new HypervisorError('ERR_DISPOSED', 'the memory was disposed');
      if (this.#latest.generation > asked) return;
      const left = deadline - Date.now();
      if (left <= 0) {
        throw new HypervisorError(
          'ERR_TIMEOUT',
          `the handle is of table ${asked}, there is a newer one, and the owner did not post it within ${ANSWER_MS} ms: ` +
            "take the handle just before it is sent, or let the owner's event loop run",
        );
      }
      Atomics.wait(this.#words, GENERATION, generation, left);
    }
  }
}
