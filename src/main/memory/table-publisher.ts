// The owner's side of sharing a memory with other threads: header words, channel and handle. Thread: the memory's owner. The
// other side, and why the order below misses nothing, is shared/table-feed.ts.

import { randomUUID } from 'node:crypto';
import {
  DISPOSED,
  GENERATION,
  HEADER_WORDS,
  type MemoryHandle,
  type MemoryMessage,
  POSTED,
  type RegionDescriptor,
} from '../../../shared/memory-layout.ts';
import type { Channel } from '../../../shared/table-feed.ts';

export class TablePublisher {
  readonly header = new SharedArrayBuffer(HEADER_WORDS * 4);
  readonly #words = new Int32Array(this.header);
  readonly #name = `node-kvm.memory.${randomUUID()}`;
  #generation = 0;
  #regions: readonly RegionDescriptor[] = [];
  // Opened with the first handle: without one nobody listens.
  #channel: Channel | undefined;

  get generation(): number {
    return this.#generation;
  }

  /** Makes `regions` the table of every attached thread: store POSTED, post, store GENERATION, notify. */
  publish(regions: readonly RegionDescriptor[]): void {
    this.#regions = regions;
    this.#generation += 1;
    const generation = this.#generation;
    Atomics.store(this.#words, POSTED, generation);
    this.#channel?.postMessage({ type: 'table', generation, regions } satisfies MemoryMessage);
    Atomics.store(this.#words, GENERATION, generation);
    Atomics.notify(this.#words, GENERATION);
  }

  /** What other threads attach to; it shows the table as it is now. */
  handle(): MemoryHandle {
    this.#channel ??= this.#open();
    return {
      kind: 'node-kvm.memory',
      channel: this.#name,
      header: this.header,
      generation: this.#generation,
      regions: this.#regions,
    };
  }

  /** Ends the memory for every attached thread. */
  dispose(): void {
    Atomics.store(this.#words, DISPOSED, 1);
    this.publish([]);
    this.close();
  }

  close(): void {
    owners.delete(this.#name);
    if (this.#channel === undefined) return;
    forgotten.unregister(this);
    this.#channel.close();
    this.#channel = undefined;
  }

  #open(): Channel {
    const channel = new BroadcastChannel(this.#name);
    // An open channel is never collected: its handler must not hold the memory.
    const weak = new WeakRef(this);
    channel.onmessage = (event: unknown) => {
      const { data } = event as { readonly data: MemoryMessage };
      const publisher = weak.deref();
      if (data.type === 'sync' && publisher !== undefined) publisher.publish(publisher.#regions);
    };
    channel.unref();
    forgotten.register(this, { channel, name: this.#name }, this);
    owners.set(this.#name, weak);
    return channel;
  }
}

// The owners of this thread: attaching on the owner's own thread cannot wait for an answer of its event loop.
const owners = new Map<string, WeakRef<TablePublisher>>();

const forgotten = new FinalizationRegistry<{ channel: Channel; name: string }>(({ channel, name }) => {
  owners.delete(name);
  channel.close();
});

/** The handle with its present table, where the owner is on this thread; else the handle itself. */
export function freshHandle(handle: MemoryHandle): MemoryHandle {
  return owners.get(handle.channel)?.deref()?.handle() ?? handle;
}
