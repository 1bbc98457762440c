// The kernels that every kind of actor has: numbers, parameters and results. The C version (native/lab/kernels.h) is the definition; it runs in C
// threads and, the same text, in guests. Those of JavaScript and WebAssembly do the same work on the same bytes. Pure.
//
// Parameters are u32, results u64. `at` and the like: byte offset in the arena. `passes`: how often the work is done. Results that all have: VALUES[0] =
// operations done (elements, accesses, increments, items), VALUES[1] = a sum that proves the work (each kernel says of what).

export const LAB_KERNELS = {
  /** at, bytes, passes: adds up all 64-bit words (wrapping). ops: words. sum: the sum of the last pass. */
  read: 1,
  /** at, bytes, passes, value: stores value (u32, in both halves) to all 64-bit words. sum: 0 */
  write: 2,
  /** at, bytes, passes, from: copies bytes. ops: 64-bit words. sum: 0 */
  copy: 3,
  /** at, bytes, passes, b, c: a[i] = b[i] + 3.0 * c[i], f64. ops: elements. sum: 0 */
  triad: 4,
  /** at, bytes, passes, stride: reads one 64-bit word each stride bytes, floor(bytes / stride) of them. sum: of the last pass */
  strided: 5,
  /** at, bytes (power of two), count, seed, writes (of 256 accesses, so many are stores of the index): 64-bit words at places from xorshift32. sum: of what was read */
  random: 6,
  /** at, count: follows the chain of u32 offsets (from the arena's start; coordinator lays it): p = u32[p]. sum: the last p */
  chase: 7,
  /** at, count: lock xadd / Atomics.add 1 on the u32 at `at`. sum: 0 */
  atomicAdd: 8,
  /** at, count: the same by a compare-and-swap loop. sum: failed attempts */
  casAdd: 9,
  /** at, count: plain increments of the u32 at `at`, with a store each (false sharing: the coordinator spaces the words). sum: last value */
  increment: 10,
  /** at, count: seqlock writer: sequence u32 at `at`, then 7 u32 words that are all set to the same number. sum: 0 */
  seqlockWrite: 11,
  /** at, count: seqlock reader. ops: consistent reads. VALUES[1]: torn ones that passed the sequence check (must be 0). VALUES[2]: retries */
  seqlockRead: 12,
  /** at, count: ticket lock (next u32 at `at`, serving u32 at at + 64); inside, a plain increment of the u32 at at + 128. sum: 0 */
  ticketLock: 13,
  /** at, count, slots (power of two): single-producer ring: head u32 at `at`, tail u32 at at + 64, u32 slots from at + 128; sends 1…count. sum: of what was sent */
  spscPush: 14,
  /** The other end. sum: of what was received. VALUES[2]: items out of order (must be 0) */
  spscPop: 15,
  /** at, count, slots: bounded MPMC queue of Vyukov's design: head at `at`, tail at at + 64, cells {u32 sequence, u32 value} from at + 128 (coordinator initialises). sum: of what was sent */
  mpmcPush: 16,
  mpmcPop: 17,
  /** at, pages, passes, step (pages): writes one u32 (the pass) to each step-th page. ops: pages written */
  dirty: 18,
  /** LITMUS_PARAM of litmus.ts: one thread of a litmus test, on many instances of it. ops: instances. sum: 0 */
  litmus: 64,
} as const;

export type LabKernel = keyof typeof LAB_KERNELS;
