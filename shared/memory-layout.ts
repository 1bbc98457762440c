// What crosses threads of a KvmMemory: the shared header words and the structured-clonable descriptions. Pure types and
// constants; the SharedArrayBuffers inside are the guest memory itself.

/**
 * Header words (Int32Array over `MemoryHandle.header`).
 * | word          | written by           | read by                | meaning                                             |
 * |---------------|----------------------|------------------------|-----------------------------------------------------|
 * | GENERATION    | owner, after it has  | every attached thread, | +1 per change of the region table; an attached       |
 * |               | posted the new table | on every access        | thread that sees a new value drains its channel      |
 * | DISPOSED      | owner                | every attached thread  | 1: every access throws ERR_DISPOSED (bumps GENERATION too) |
 * | POSTED        | owner, before it     | a thread that attaches | the generation that is being posted: equal to the   |
 * |               | posts a table        |                        | handle's, no table was missed before the channel was |
 * |               |                      |                        | opened                                              |
 * | WRITER_COUNT  | a thread that        | a thread that attaches | how many writer numbers were taken                  |
 * |               | attaches: add        |                        |                                                     |
 * | WRITER_TABLE  | a thread that        | owner, for attribution | who has number n, in word WRITER_TABLE + n:         |
 * | and 254 more  | attaches, before it  |                        | threadId + 1, or -1 - index for a vCPU; 0: nobody.   |
 * |               | marks any page       |                        | Never changes again (writer-numbers.ts)             |
 */
export const GENERATION = 0;
export const DISPOSED = 1;
export const POSTED = 2;
export const WRITER_COUNT = 3;
export const WRITER_TABLE = 16;
/** Numbers count from 1 to 254: the first word of the table stays empty. */
export const HEADER_WORDS = WRITER_TABLE + 255;

/** Marks that one byte of a summary stands for (also in native/sys/bitmap.h). */
export const PAGES_PER_SUMMARY = 4096;

/** One region as it is sent to other threads. */
export interface RegionDescriptor {
  /** First guest physical address, bytes, page-aligned. */
  readonly guestAddr: number;
  /** Bytes, a multiple of the page size. */
  readonly size: number;
  /** Address in this process of the first byte. */
  readonly hostAddr: bigint;
  /** The library's accessors refuse to write (raw views of `buffer` do not), and so does KVM. */
  readonly readOnly: boolean;
  /** KVM's id of it; undefined: no VM is attached, or the slot was unregistered. */
  readonly slot: number | undefined;
  /** The mapping that the region lies in, and where in it (bytes, page-aligned). Regions may share a mapping. */
  readonly buffer: SharedArrayBuffer;
  readonly offset: number;
  /**
   * One byte per page of the *mapping* (page of offset o: index o >>> 12): not 0 = written through the API since the last harvest, by
   * the thread of that number (writer-numbers.ts).
   * Bytes rather than bits: marking is then a plain store *after* the data store, and x86 keeps the two in order; a bit
   * would need an atomic read-modify-write (7–10 ns) on every write.
   */
  readonly marks: SharedArrayBuffer;
  /** One byte per PAGES_PER_SUMMARY marks, set after any of them: where it is 0, a harvest need not look at the marks. */
  readonly summary: SharedArrayBuffer;
  /** The shared WebAssembly.Memory that the region is, with backing 'wasm'. */
  readonly wasm?: WasmMemory;
  /** The guest may not write although the API may: `registerSlot` with KVM_MEM_READONLY. */
  readonly guestReadOnly?: true;
  /** @internal How its pages can be given back to the host; absent: they cannot (external memory, files, WebAssembly, explicit huge pages). */
  readonly reclaim?: Reclaim;
  /** @internal What of it is watched, if anything; all of its pages are then. */
  readonly watch?: WatchDescriptor;
}

/** What a region's memory is, where it is the library's own: private anonymous memory, or a memfd's. */
export type Reclaim = 'anonymous' | 'memfd';

/** Which bytes of a region are watched, and whom to tell (watched-span.ts). */
export interface WatchDescriptor {
  /** The queue of reports: a WatchRing's buffer. */
  readonly ring: SharedArrayBuffer;
  /** Guest addresses, merged, ascending, within the region. */
  readonly ranges: readonly AddressRange[];
  /** One byte per page of the region: 1 = written through the API, or for the guest, since the owner looked last. */
  readonly touched: SharedArrayBuffer;
}

/** Guest addresses from `start` up to and without `end`. */
export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

/** A shared WebAssembly.Memory, as far as it matters here (the DOM's types are not part of this project). */
export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
}

/** Structured-clonable; any thread of this process turns it into the same memory with `KvmMemory.attach(handle)`. */
export interface MemoryHandle {
  readonly kind: 'node-kvm.memory';
  /** Name of the BroadcastChannel on which changed region tables are posted. */
  readonly channel: string;
  readonly header: SharedArrayBuffer;
  readonly generation: number;
  readonly regions: readonly RegionDescriptor[];
}

/** Messages on a memory's channel. `sync` asks the owner to post the table again (a late attach of an old handle). */
export type MemoryMessage =
  | { readonly type: 'table'; readonly generation: number; readonly regions: readonly RegionDescriptor[] }
  | { readonly type: 'sync' };
