// Who wrote a page: the 16-bit codes that sources note beside a dirty page, and what they mean. Pure; every thread.
// A mark byte (memory-layout.ts) is a code too: 1 to 255, the writing thread's number in that memory.

/** Nobody can say. */
export const WRITER_UNKNOWN = 0;
/** Mark bytes: this thread and all that attached after the 254th share the last number. */
export const WRITER_THREAD_LAST = 255;
/** The guest, by one of several vCPUs. */
export const WRITER_GUEST = 0x4000;
/** Set in the code of a known vCPU; the index is in the low 14 bits. */
export const WRITER_VCPU = 0x8000;

/**
 * Who wrote. `vcpu`: that vCPU; `guest`: one of the vCPUs, the source cannot say which; `thread`: a thread of this process, through the
 * API, by Node's `threadId` (0: the main thread; undefined: one of more threads than a memory numbers); `unknown`: the source cannot say.
 */
export type Writer =
  | { readonly kind: 'vcpu'; readonly index: number }
  | { readonly kind: 'guest' }
  | { readonly kind: 'thread'; readonly threadId: number | undefined }
  | { readonly kind: 'unknown' };
