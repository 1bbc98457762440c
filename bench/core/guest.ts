// The benchmark's guest and the words by which the main thread starts its rounds. The same machine code runs under the C
// baseline. Runs on the main thread and, for the word indices, on the vCPUs' threads.

/** Ports, as in bench/native/bare_vm.h. */
export const DATA_PORT = 0x100;
export const GATE_PORT = 0x108;

/** Where the code lies, as in bench/native/bare_vm.h. */
export const CODE_ADDRESS = 0x10000;

export type GuestMode = 16 | 64;

/**
 * for (;;) { count = in(GATE_PORT); do { out(DATA_PORT, al); } while (--count); }
 * The gate sleeps between rounds: a waiting guest uses no CPU. In real mode the count has 16 bits.
 */
const CODE: Record<GuestMode, readonly number[]> = {
  16: [
    ...[0xba, 0x08, 0x01], //       mov dx, 0x108
    0xed, //                        in ax, dx
    ...[0x89, 0xc1], //             mov cx, ax
    ...[0xba, 0x00, 0x01], //       mov dx, 0x100
    0xee, //                  next: out dx, al
    0x49, //                        dec cx
    ...[0x75, 0xfc], //             jnz next
    ...[0xeb, 0xf1], //             jmp 0
  ],
  64: [
    ...[0xba, 0x08, 0x01, 0, 0], // mov edx, 0x108
    0xed, //                        in eax, dx
    ...[0x89, 0xc1], //             mov ecx, eax
    ...[0xba, 0x00, 0x01, 0, 0], // mov edx, 0x100
    0xee, //                  next: out dx, al
    ...[0xff, 0xc9], //             dec ecx
    ...[0x75, 0xfb], //             jnz next
    ...[0xeb, 0xec], //             jmp 0
  ],
};

export function guestCode(mode: GuestMode): Uint8Array {
  return Uint8Array.from(CODE[mode]);
}

/** The code as the baseline's commands take it. */
export function guestCodeHex(mode: GuestMode): string {
  return Buffer.from(CODE[mode]).toString('hex');
}

/**
 * The gate's words (Int32Array), then its times (Float64Array at TIMES_OFFSET: nanoseconds of CLOCK_MONOTONIC).
 * | word    | written by | read by  | wake-up                        |
 * |---------|------------|----------|--------------------------------|
 * | ROUND   | main       | gate     | notify when main starts a round|
 * | COUNT   | main       | gate     |                                |
 * | DONE    | gate       | main     | notify when a round has ended  |
 * | COUNTED | the device | main     |                                |
 */
export const ROUND = 0;
export const COUNT = 1;
export const DONE = 2;
export const COUNTED = 3;
export const TIMES_OFFSET = 64;
export const START_TIME = 0;
export const END_TIME = 1;
const STATE_BYTES = 128;
/** ROUND value that opens the gate for good. */
export const OVER = -1;

/** The main thread's end of a gate. */
export class Gate {
  readonly state = new SharedArrayBuffer(STATE_BYTES);
  readonly #words = new Int32Array(this.state);
  readonly #times = new Float64Array(this.state, TIMES_OFFSET);
  #round = 0;

  /** Until the guest has come to its gate for the first time: the time of that, in nanoseconds of CLOCK_MONOTONIC. */
  async arrived(): Promise<number> {
    await this.#done(0);
    return this.#times[END_TIME] ?? Number.NaN;
  }

  /** Lets the guest make `count` exits; resolves with the nanoseconds between leaving the gate and reaching it again. */
  async round(count: number): Promise<number> {
    const before = Atomics.load(this.#words, COUNTED);
    Atomics.store(this.#words, COUNT, count);
    this.#round += 1;
    Atomics.store(this.#words, ROUND, this.#round);
    Atomics.notify(this.#words, ROUND);
    await this.#done(this.#round);
    const counted = Atomics.load(this.#words, COUNTED) - before;
    if (counted !== count) throw new Error(`the guest made ${count} exits and its device saw ${counted}`);
    return (this.#times[END_TIME] ?? Number.NaN) - (this.#times[START_TIME] ?? Number.NaN);
  }

  /** Opens the gate for good, so that the vCPU can be stopped. */
  open(): void {
    Atomics.store(this.#words, ROUND, OVER);
    Atomics.notify(this.#words, ROUND);
  }

  /** Counts an exit: for devices that live on the main thread. */
  count(): void {
    this.#words[COUNTED] = (this.#words[COUNTED] ?? 0) + 1;
  }

  /** DONE counts rounds from 1 on: it is round + 1 once the gate was reached after that round. */
  async #done(round: number): Promise<void> {
    for (;;) {
      const done = Atomics.load(this.#words, DONE);
      if (done === round + 1) return;
      await Atomics.waitAsync(this.#words, DONE, done).value;
    }
  }
}
