// The queue of watched writes: from every thread that writes to a watched range to the memory's owner. Runs on every thread; pure.
// Many producers, one consumer, in one SharedArrayBuffer of fixed size: a guest that writes faster than the owner's thread
// listens loses reports, and each lost one is counted.
//
// | word | written by          | read by   |                                                                       |
// |------|---------------------|-----------|-----------------------------------------------------------------------|
// | TAIL | producers (cmpxchg) | both      | cells taken so far: a producer owns the cell that it moved TAIL over  |
// | HEAD | consumer            | producers | cells given back so far; TAIL - HEAD never exceeds CELLS              |
// | LOST | producers (add)     | consumer  | reports that found no free cell                                       |
// | BELL | producers (add)     | consumer  | after each report; the consumer sleeps on it in Atomics.waitAsync     |
//
// A producer takes a cell, fills it in, and stores its turn (TAIL before + 1) into the cell's first word, which publishes it. The
// consumer reads cells in turn and stops at one that is not published yet: its producer rings when it is.
// SAFETY: a thread that were terminated between taking a cell and publishing it would stop the queue for good. V8 ends a thread at
// loops and calls of functions only: in between are stores, and one call of a built-in function that asks no such question.

/** Bytes of a write that a report carries at most; of longer ones it says where and how long only. */
export const WATCH_DATA_MAX = 64;

const CELLS = 4096;
const HEADER_BYTES = 64;
const TAIL = 0;
const HEAD = 4;
const LOST = 8;
const BELL = 12;

/** A cell: turn, writer code (32 bits each), guest address, size (64-bit floats), bytes of data (32 bits), then the data. */
const CELL_BYTES = 128;
const TURN = 0;
const WRITER = 1;
const LENGTH = 6;
const ADDR = 1;
const SIZE = 2;
const DATA_AT = 32;

/** A write as it is in the queue. `data`: all of its bytes, or undefined when there were more than WATCH_DATA_MAX. */
export interface WatchReport {
  /** Counts reports, wrapping around at 2^32. */
  readonly turn: number;
  readonly guestAddr: number;
  readonly size: number;
  /** See writer.ts. */
  readonly writer: number;
  readonly data: Uint8Array | undefined;
}

/** `Atomics.waitAsync` is in Node 20 and not yet in the compiler's library for ES2023. */
type Wait = { readonly async: false } | { readonly async: true; readonly value: Promise<unknown> };
const { waitAsync } = Atomics as unknown as { waitAsync(words: Int32Array, index: number, value: number): Wait };

/** A new, empty queue. */
export function createWatchRing(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + CELLS * CELL_BYTES);
}

export class WatchRing {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;
  readonly #bytes: Uint8Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#numbers = new Float64Array(buffer);
    this.#bytes = new Uint8Array(buffer);
  }

  /** Reports that were lost since the queue was made. */
  get lost(): number {
    return Atomics.load(this.#words, LOST);
  }

  /** The next report's. */
  get turn(): number {
    return Atomics.load(this.#words, TAIL);
  }

  get bell(): number {
    return Atomics.load(this.#words, BELL);
  }

  /** Waits for a ring after `bell`. A pending wait does not keep the process alive. */
  wait(bell: number): Wait {
    return waitAsync(this.#words, BELL, bell);
  }

  /** Wakes the consumer. */
  ring(): void {
    Atomics.add(this.#words, BELL, 1);
    Atomics.notify(this.#words, BELL);
  }

  /** Reports a write that is in memory already, as `data` there. Any thread; does not block. */
  report(guestAddr: number, writer: number, data: Uint8Array): void {
    const words = this.#words;
    const size = data.byteLength;
    // Made before the cell is taken: see the SAFETY note above.
    const bytes = size <= WATCH_DATA_MAX ? data : data.subarray(0, 0);
    const length = bytes.byteLength;
    let tail = Atomics.load(words, TAIL);
    for (;;) {
      // Both wrap around at 2^32, their difference does not.
      if (((tail - Atomics.load(words, HEAD)) | 0) >= CELLS) {
        Atomics.add(words, LOST, 1);
        return;
      }
      const seen = Atomics.compareExchange(words, TAIL, tail, (tail + 1) | 0);
      if (seen === tail) break;
      tail = seen;
    }
    const at = HEADER_BYTES + (tail & (CELLS - 1)) * CELL_BYTES;
    words[at / 4 + WRITER] = writer;
    words[at / 4 + LENGTH] = length;
    this.#numbers[at / 8 + ADDR] = guestAddr;
    this.#numbers[at / 8 + SIZE] = size;
    this.#bytes.set(bytes, at + DATA_AT);
    Atomics.store(words, at / 4 + TURN, (tail + 1) | 0);
    this.ring();
  }

  /** The next report, or undefined. The consumer's thread only. */
  take(): WatchReport | undefined {
    const words = this.#words;
    const head = Atomics.load(words, HEAD);
    const at = HEADER_BYTES + (head & (CELLS - 1)) * CELL_BYTES;
    if (Atomics.load(words, at / 4 + TURN) !== ((head + 1) | 0)) return undefined;
    // SAFETY: the indices lie in the buffer, whose length is fixed.
    const length = words[at / 4 + LENGTH] as number;
    const size = this.#numbers[at / 8 + SIZE] as number;
    const report = {
      turn: head,
      guestAddr: this.#numbers[at / 8 + ADDR] as number,
      size,
      writer: words[at / 4 + WRITER] as number,
      data: length === size ? Uint8Array.from(this.#bytes.subarray(at + DATA_AT, at + DATA_AT + length)) : undefined,
    };
    Atomics.store(words, HEAD, (head + 1) | 0);
    return report;
  }
}
