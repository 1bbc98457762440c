// What the two sides of a serial port share: the chip's words, a ring of output, and the words by which one side wakes the other. Pure:
// Atomics only. The guest's side (serial-registers.ts) is on the vCPUs' threads, the far side (src/main/devices/serial.ts) on the main thread.
//
// | word | written by | read by | ordering, wake-up |
// |---|---|---|---|
// | LOCK | both | both | 0 free, 1 held, 2 held and waited for; everything below is touched by its holder alone, unless said otherwise |
// | BELL | guest's side | far side | atomic, + 1 and notify: there is output after there was none, room for input that is waited for, an event |
// | FIRST, LENGTH, DROPPED | both | both | the ring; DROPPED is read without the lock, atomically |
// | WAITS | far side | guest's side | output is never dropped |
// | ROOM_WANTED | far side, cleared by the guest's | guest's side | input waits for room |
// | GONE | far side | guest's side | nobody reads: output vanishes |
// | UART.. | both | both | Uart16550's |

import { resetUart, UART_WORDS } from './uart-16550.ts';

const LOCK = 0;
const BELL = 1;
const FIRST = 2;
const LENGTH = 3;
const DROPPED = 4;
const WAITS = 5;
const ROOM_WANTED = 6;
const GONE = 7;
const UART = 8;
const WORDS = UART + UART_WORDS;

const FREE = 0;
const HELD = 1;
const WAITED_FOR = 2;
/**
 * The lock is held for some microseconds. A holder that is away for so long is a thread that was ended by force, which happens to the vCPUs
 * of a VM at its end: then it is taken over. In several waits: a process that was stopped for a while finds the first one over.
 */
const PATIENCE = 4;
const PATIENCE_MS = 250;

const TIMES = Math.ceil((WORDS * Int32Array.BYTES_PER_ELEMENT) / Float64Array.BYTES_PER_ELEMENT);
/** CLOCK_MONOTONIC in ns of the first byte of output, and of the port's opening; 0: not yet. Written once, under the lock. */
export const SERIAL_TIMES = { FIRST_BYTE: 0, OPEN: 1 } as const;
/** Beside them: the id of the event whose signal is an edge of the port's interrupt. Written before any vCPU is made. */
export const SERIAL_EVENT = 2;
const RING_AT = (TIMES + 3) * Float64Array.BYTES_PER_ELEMENT;

/** Shared memory for a port whose ring holds `size` bytes. `waits`: output is not dropped, the guest waits. */
export function createSerialWords(size: number, waits: boolean): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(RING_AT + size);
  const words = new Int32Array(buffer);
  words[WAITS] = waits ? 1 : 0;
  resetUart(words.subarray(UART, UART + UART_WORDS));
  return buffer;
}

/** One thread's view. */
export class SerialWords {
  /** For Uart16550. */
  readonly uart: Int32Array;
  readonly times: Float64Array;
  readonly #words: Int32Array;
  readonly #ring: Uint8Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer, 0, WORDS);
    this.uart = this.#words.subarray(UART, UART + UART_WORDS);
    this.times = new Float64Array(buffer, TIMES * Float64Array.BYTES_PER_ELEMENT, 3);
    this.#ring = new Uint8Array(buffer, RING_AT);
  }

  /** Waits for the lock, which does not nest. `release()` must follow, whatever happens. */
  acquire(): void {
    const words = this.#words;
    if (Atomics.compareExchange(words, LOCK, FREE, HELD) === FREE) return;
    let patience = PATIENCE;
    while (Atomics.exchange(words, LOCK, WAITED_FOR) !== FREE)
      if (Atomics.wait(words, LOCK, WAITED_FOR, PATIENCE_MS) === 'timed-out' && --patience === 0) return;
  }

  release(): void {
    if (Atomics.exchange(this.#words, LOCK, FREE) === WAITED_FOR) Atomics.notify(this.#words, LOCK, 1);
  }

  /** Guest's side, under the lock: takes a byte of output; false: there is no room. */
  put(byte: number): boolean {
    const words = this.#words;
    const ring = this.#ring;
    if (words[GONE] !== 0) return true;
    let length = words[LENGTH] ?? 0;
    const first = words[FIRST] ?? 0;
    if (length === ring.length) {
      if (words[WAITS] !== 0) return false;
      words[FIRST] = (first + 1) % ring.length;
      length -= 1;
      Atomics.add(words, DROPPED, 1);
      ring[first] = byte;
    } else ring[(first + length) % ring.length] = byte;
    words[LENGTH] = length + 1;
    if (length === 0) this.ring();
    return true;
  }

  /** Guest's side, under the lock: the receiver has room. */
  roomMade(): void {
    if (this.#words[ROOM_WANTED] === 0) return;
    this.#words[ROOM_WANTED] = 0;
    this.ring();
  }

  /** Guest's side: wakes the far one. */
  ring(): void {
    Atomics.add(this.#words, BELL, 1);
    Atomics.notify(this.#words, BELL);
  }

  /** Far side, under the lock: at most `most` bytes of output, oldest first, as they lie side by side. */
  take(most: number): Uint8Array {
    const words = this.#words;
    const first = words[FIRST] ?? 0;
    const count = Math.min(words[LENGTH] ?? 0, most, this.#ring.length - first);
    const bytes = Uint8Array.from(this.#ring.subarray(first, first + count));
    words[FIRST] = (first + count) % this.#ring.length;
    words[LENGTH] = (words[LENGTH] ?? 0) - count;
    return bytes;
  }

  /** Far side, under the lock: from now on output vanishes, what waits too. */
  leave(): void {
    this.#words[GONE] = 1;
    this.#words[LENGTH] = 0;
  }

  /** Far side, under the lock: the next room is to be told. */
  wantRoom(): void {
    this.#words[ROOM_WANTED] = 1;
  }

  /** How many bytes wait; a reader without the lock may be told of one too few. */
  get length(): number {
    return Atomics.load(this.#words, LENGTH);
  }

  get dropped(): number {
    return Atomics.load(this.#words, DROPPED);
  }

  /** What bellRung() waits for a change of. */
  get bell(): number {
    return Atomics.load(this.#words, BELL);
  }

  /** Far side: resolves when the bell is another than `seen`; undefined when it is already. */
  bellRung(seen: number): Promise<unknown> | undefined {
    const wait = Atomics.waitAsync(this.#words, BELL, seen);
    return wait.async ? wait.value : undefined;
  }
}
