// The guest that dirties memory, and the words by which the main thread gives it orders. The same machine code runs under the C++
// baseline. Runs on the main thread and, for the word indices, on the vCPUs' threads.

/** First of the guest's ports, 4 bytes each: one for each word of an order. The first sleeps until there is one. */
export const WRITER_PORTS = 0x1000;
export const WRITER_PORT_BYTES = 32;

/** Where the code lies and where the memory begins that it dirties, as in bench/native/bare_vm.h. */
export const CODE_ADDRESS = 0x10000;
export const DATA_ADDRESS = 2 ** 32;

/**
 * for (;;) {
 *   count, seed, multiplier, increment, mask, first page, threshold = in(ports);
 *   do {
 *     seed = (seed * multiplier + increment) & mask;
 *     address = (first page + seed) << 12;
 *     if (random() <= threshold) store to it, else load from it;
 *   } while (--count);
 * }
 */
const CODE = [
  ...[0xba, 0x00, 0x10, 0, 0], //               mov edx, 0x1000
  ...[0xed, 0x89, 0xc1], //                     in eax, dx; mov ecx, eax
  ...[0x83, 0xc2, 4, 0xed, 0x89, 0xc3], //      add edx, 4; in eax, dx; mov ebx, eax
  ...[0x83, 0xc2, 4, 0xed, 0x89, 0xc6], //      the same for esi
  ...[0x83, 0xc2, 4, 0xed, 0x89, 0xc7], //      edi
  ...[0x83, 0xc2, 4, 0xed, 0x89, 0xc5], //      ebp
  ...[0x83, 0xc2, 4, 0xed, 0x41, 0x89, 0xc0], //  r8d
  ...[0x83, 0xc2, 4, 0xed, 0x41, 0x89, 0xc1], //  r9d
  ...[0x0f, 0xaf, 0xde], //               next: imul ebx, esi
  ...[0x01, 0xfb], //                           add ebx, edi
  ...[0x21, 0xeb], //                           and ebx, ebp
  ...[0x4a, 0x8d, 0x04, 0x03], //               lea rax, [rbx + r8]
  ...[0x48, 0xc1, 0xe0, 0x0c], //               shl rax, 12
  ...[0x45, 0x69, 0xd2, 0x0d, 0x66, 0x19, 0], //  imul r10d, r10d, 1664525
  ...[0x41, 0x81, 0xc2, 0x5f, 0xf3, 0x6e, 0x3c], // add r10d, 1013904223
  ...[0x45, 0x39, 0xca], //                     cmp r10d, r9d
  ...[0x77, 0x04], //                           ja load
  ...[0x89, 0x08], //                           mov [rax], ecx
  ...[0xeb, 0x02], //                           jmp done
  ...[0x8b, 0x00], //                     load: mov eax, [rax]
  ...[0xff, 0xc9], //                     done: dec ecx
  ...[0x75, 0xd4], //                           jnz next
  ...[0xeb, 0xa4], //                           jmp 0
];

export const writerCode = () => Uint8Array.from(CODE);
/** The code as the baseline's commands take it. */
export const writerCodeHex = () => Buffer.from(CODE).toString('hex');

/** Which pages a writer touches, of a power of two of them, and in which order: each once if count <= mask + 1. */
export interface Pattern {
  readonly count: number;
  readonly seed: number;
  readonly multiplier: number;
  readonly increment: number;
  /** Number of pages - 1. */
  readonly mask: number;
}

/** Neighbours, beginning with page `first`. */
export const contiguous = (pages: number, count: number, first: number, step = 1): Pattern => ({
  count,
  seed: (first - step) >>> 0,
  multiplier: 1,
  increment: step,
  mask: pages - 1,
});

/** A linear congruential generator of full period: every page once in `pages` steps. */
export const scattered = (pages: number, count: number, seed: number): Pattern => ({
  count,
  seed,
  multiplier: 1664525,
  increment: 1013904223,
  mask: pages - 1,
});

/** Stores always. */
export const ALWAYS = 0xffff_ffff;

// The words of one vCPU (Int32Array), VCPU_BYTES apart: then its times (Float64Array at TIMES_OFFSET: CLOCK_MONOTONIC nanoseconds).
// | word     | written by | read by | wake-up                         |
// |----------|------------|---------|---------------------------------|
// | ROUND    | main       | vCPU    | notify when main starts a round |
// | DONE     | vCPU       | main    | notify when a round has ended   |
// | ORDER... | main       | vCPU    |                                 |
export const ROUND = 0;
export const DONE = 1;
export const ORDER = 2;
export const ORDER_WORDS = 7;
export const TIMES_OFFSET = 64;
export const START_TIME = 0;
export const END_TIME = 1;
export const VCPU_BYTES = 128;
/** ROUND value that ends the waiting for good. */
export const OVER = -1;

/** The main thread's end of the vCPUs' waiting rooms. */
export class WriterGate {
  readonly state: SharedArrayBuffer;
  readonly #vcpus: readonly { readonly words: Int32Array; readonly times: Float64Array }[];
  #round = 0;

  constructor(vcpus: number) {
    const state = new SharedArrayBuffer(vcpus * VCPU_BYTES);
    this.state = state;
    this.#vcpus = Array.from({ length: vcpus }, (_, index) => ({
      words: new Int32Array(state, index * VCPU_BYTES, TIMES_OFFSET / 4),
      times: new Float64Array(state, index * VCPU_BYTES + TIMES_OFFSET, 2),
    }));
  }

  /** Until all guests have come to their first wait. */
  async arrived(): Promise<void> {
    for (const { words } of this.#vcpus) await done(words, 0);
  }

  /**
   * Every vCPU carries out `pattern`, vCPU n in the pages from `firstPage` + n * `stride` on. Resolves with nanoseconds: by the vCPU's own thread if
   * there is one, from the start until all are done if there are several.
   */
  async run(pattern: Pattern, firstPage: number, stride: number, threshold: number): Promise<number> {
    const start = process.hrtime.bigint();
    this.#round += 1;
    this.#vcpus.forEach(({ words }, index) => {
      const { count, seed, multiplier, increment, mask } = pattern;
      words.set([count, seed, multiplier, increment, mask, firstPage + index * stride, threshold], ORDER);
      Atomics.store(words, ROUND, this.#round);
      Atomics.notify(words, ROUND);
    });
    for (const { words } of this.#vcpus) await done(words, this.#round);
    const [only, second] = this.#vcpus;
    if (only === undefined || second !== undefined) return Number(process.hrtime.bigint() - start);
    return (only.times[END_TIME] ?? Number.NaN) - (only.times[START_TIME] ?? Number.NaN);
  }

  /** Lets the waiting vCPUs go, so that they can be stopped. */
  open(): void {
    for (const { words } of this.#vcpus) {
      Atomics.store(words, ROUND, OVER);
      Atomics.notify(words, ROUND);
    }
  }
}

/** DONE counts from 1 on: it is round + 1 once the guest waits again after that round. */
async function done(words: Int32Array, round: number): Promise<void> {
  for (;;) {
    const value = Atomics.load(words, DONE);
    if (value === round + 1) return;
    await Atomics.waitAsync(words, DONE, value).value;
  }
}
