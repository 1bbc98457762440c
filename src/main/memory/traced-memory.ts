// TracedMemory: GuestMemory's accessors on the public face, each announced on its tracing channel while somebody listens.
// Thread: any that makes or attaches a memory.

import { receiveMessageOnPort, threadId } from 'node:worker_threads';
import { native } from '../../../native/index.ts';
import { GuestMemory, type MemoryPlatform, type MemoryRegion } from '../../../shared/guest-memory.ts';
import type { Layout } from '../../../shared/layout.ts';
import type { MemoryAtomics } from '../../../shared/memory-atomics.ts';
import type { U64 } from '../../../shared/units.ts';
import { trace } from '../trace.ts';

const on = {
  getHostAddress: trace('memory.getHostAddress'),
  regions: trace('memory.regions'),
  size: trace('memory.size'),
  addressLimit: trace('memory.addressLimit'),
  read: trace('memory.read'),
  write: trace('memory.write'),
  readObj: trace('memory.readObj'),
  writeObj: trace('memory.writeObj'),
  memset: trace('memory.memset'),
  atomics: trace('memory.atomics'),
  view: trace('memory.view'),
  dumpAll: trace('memory.dumpAll'),
};

export class TracedMemory extends GuestMemory {
  override size(): number {
    return on.size.active
      ? on.size.sync(
          () => ({ memory: this }),
          () => super.size(),
        )
      : super.size();
  }

  override addressLimit(): number {
    return on.addressLimit.sync(
      () => ({ memory: this }),
      () => super.addressLimit(),
    );
  }

  override regions(): MemoryRegion[] {
    return on.regions.sync(
      () => ({ memory: this }),
      () => super.regions(),
    );
  }

  override getHostAddress(addr: U64): bigint {
    return on.getHostAddress.sync(
      () => ({ memory: this, addr }),
      () => super.getHostAddress(addr),
    );
  }

  override readObj<T, W>(addr: U64, type: Layout<T, W>): T {
    return on.readObj.active ? this.#readObjTraced(addr, type) : this.load(addr, type);
  }

  override writeObj<T, W>(addr: U64, type: Layout<T, W>, value: W): void {
    if (on.writeObj.active) this.#writeObjTraced(addr, type, value);
    else this.store(addr, type, value);
  }

  // Methods of their own: closures over the arguments would make the functions above allocate a context at each call.

  #readObjTraced<T, W>(addr: U64, type: Layout<T, W>): T {
    return on.readObj.sync(
      () => ({ memory: this, addr, type }),
      () => this.load(addr, type),
    );
  }

  #writeObjTraced<T, W>(addr: U64, type: Layout<T, W>, value: W): void {
    on.writeObj.sync(
      () => ({ memory: this, addr, type, value }),
      () => this.store(addr, type, value),
    );
  }

  override read(addr: U64, into: Uint8Array): void {
    if (!on.read.active) super.read(addr, into);
    else
      on.read.sync(
        () => ({ memory: this, addr, length: into?.byteLength }),
        () => super.read(addr, into),
      );
  }

  override write(addr: U64, from: Uint8Array): void {
    if (!on.write.active) super.write(addr, from);
    else
      on.write.sync(
        () => ({ memory: this, addr, length: from?.byteLength }),
        () => super.write(addr, from),
      );
  }

  override memset(addr: U64, value: number, length: U64): void {
    if (!on.memset.active) super.memset(addr, value, length);
    else
      on.memset.sync(
        () => ({ memory: this, addr, value, length }),
        () => super.memset(addr, value, length),
      );
  }

  override view(addr: U64, length: U64): Uint8Array<SharedArrayBuffer> {
    return on.view.sync(
      () => ({ memory: this, addr, length }),
      () => super.view(addr, length),
    );
  }

  override dumpAll(into: Uint8Array): void {
    on.dumpAll.sync(
      () => ({ memory: this, length: into?.byteLength }),
      () => super.dumpAll(into),
    );
  }

  override get atomics(): MemoryAtomics {
    return on.atomics.active ? traced(super.atomics, this) : super.atomics;
  }
}

/** The same operations, each announced on the channel. Made anew per use: only while somebody listens. */
function traced(atomics: MemoryAtomics, memory: TracedMemory): MemoryAtomics {
  return new Proxy(atomics, {
    get(target, operation: keyof MemoryAtomics) {
      // SAFETY: the methods are all that is public of it; which one takes which arguments was checked by the compiler at the call.
      const method = target[operation] as (...args: unknown[]) => unknown;
      return (...args: unknown[]) =>
        on.atomics.sync(
          () => ({ memory, operation, addr: args[0] }),
          () => method.apply(target, args),
        );
    },
  });
}

let cachedPlatform: MemoryPlatform | undefined;

/** What this thread has for GuestMemory. */
export function platform(): MemoryPlatform {
  if (cachedPlatform === undefined) {
    const { fill, copy } = native();
    // SAFETY: receiveMessageOnPort takes a BroadcastChannel too (it has a MessagePort's handle); Node's types say MessagePort only.
    const receive = receiveMessageOnPort as unknown as MemoryPlatform['receive'];
    cachedPlatform = { fill, copy, receive, threadId };
  }
  return cachedPlatform;
}
