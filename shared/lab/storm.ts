// The words between the main thread, the vCPUs' threads and the guest of the lab's machine workloads (exit storm, dirty storm, region
// changes, doorbells). Orders lie in guest RAM, where the guest reads them; rounds and times in a buffer that the devices share. Pure.

/** The guest's ports, 4 bytes each. GATE: a read sleeps until there is an order. SINK: the device whose exits are counted. */
export const STORM_PORTS = { GATE: 0x500, SINK: 0x510, BELL: 0x514, ANSWER: 0x518 } as const;
/** The sink as MMIO: an address without RAM, 4 bytes. */
export const STORM_MMIO = 0xd000_0000;

/** Guest-physical addresses: the code, the vCPUs' orders, the times of 'ring' (u64, SAMPLES_MAX of them), and the memory that is dirtied. */
export const STORM_CODE = 0x1_0000;
export const STORM_ORDERS = 0x2_0000;
export const STORM_TICKS = 0x10_0000;
export const STORM_DATA = 2 ** 32;

/** One vCPU's order: bytes, and the indices of its words (u32). Written by the main thread while the vCPU is in its gate. */
export const ORDER_BYTES = 64;
export const ORDER = {
  /** A number of ORDER_KINDS. */
  KIND: 0,
  /** Iterations, at least 1; load: what is stored. */
  COUNT: 1,
  /** touch, load: the first page (before the mask). */
  SEED: 2,
  /** touch, load: number of pages - 1; a power of two of them. */
  MASK: 3,
  /** touch, load: number of the first page, guest-physical. */
  FIRST: 4,
  /** touch: an access is a store when a random u32 is not above it. */
  THRESHOLD: 5,
  /** load: main stores 1 to end it. */
  STOP: 6,
  /** By the guest. touch: stores that it made. */
  STORED: 7,
  /** By the guest, u64 (index of its low half), while it runs. load: stores so far. */
  LOADED: 8,
  /** By the guest. ring: the question that it asks, from 1 on, before it rings. */
  ASKED: 10,
  /** ring: the last question that was answered, by the answering thread; the guest spins on it. */
  ANSWERED: 11,
  /** By the guest, u64. ring: the time-stamp counter at its last answer. */
  CLOCK: 12,
} as const;

export const ORDER_KINDS = {
  /** `out` to SINK. */
  pio: 1,
  /** A store to STORM_MMIO. */
  mmio: 2,
  /** One access to each of `count` pages. */
  touch: 3,
  /** Stores to page after page until STOP. */
  load: 4,
  /** `out` to BELL, then `in` from ANSWER. */
  bell: 5,
  /** `out` to BELL, which is an ioeventfd and no device, then spinning until ANSWERED; each one's ticks go to STORM_TICKS. One vCPU. */
  ring: 6,
} as const;

// What the vCPUs' devices and the main thread share, per vCPU, STATE_BYTES apart: words (Int32Array), then times (Float64Array from
// TIMES_OFFSET on, CLOCK_MONOTONIC nanoseconds).
// | word    | written by            | read by | wake-up                         |
// |---------|-----------------------|---------|---------------------------------|
// | ROUND   | main                  | gate    | notify when main starts a round |
// | DONE    | gate                  | main    | notify when a round has ended   |
// | COUNTED | the sink's one thread | main    | (read when the round has ended) |
// | ASKED   | vCPU, baseline only   | server  | the server's bell               |
// COUNTED and ASKED are the two words that the addon's runToPort() and serveExits() work on.
export const STATE_BYTES = 128;
export const STATE = { ROUND: 0, DONE: 1, COUNTED: 2, ASKED: 3 } as const;
export const EXIT_WORDS_BYTES = 8;
export const TIMES_OFFSET = 64;
/** Left the gate, came back to it. */
export const TIMES = { START: 0, END: 1 } as const;
/** ROUND's last value: the gate is open for good. */
export const ROUND_OVER = -1;

// A bell: words (Int32Array) of a buffer, then SAMPLES_MAX times (Float64Array from SAMPLES_OFFSET on, nanoseconds). Whoever asks adds 1 to
// ASKED and notifies; whoever answers sets ANSWERED to what it saw and notifies. Each word has one writer, except READY.
// | word     | written by  | read by  | wake-up                                      |
// |----------|-------------|----------|----------------------------------------------|
// | ASKED    | asker       | answerer | notify with each question; BELL_OVER ends it |
// | ANSWERED | answerer    | asker    | notify with each answer (by events: a count) |
// | ROUND    | main        | asker    | notify; BELL_OVER ends it                    |
// | COUNT    | main        | asker    | questions of a round, before ROUND           |
// | READY    | each thread | main     | + 1 and notify when it has started           |
// | DONE     | asker       | main     | = ROUND and notify when all are answered     |
// | SAMPLES  | asker       | main     | times taken in a round, before DONE          |
// At ELAPSED_OFFSET, a Float64: nanoseconds of the whole round, where a thread asks; written and read as SAMPLES.
export const BELL = { ASKED: 0, ANSWERED: 16, ROUND: 32, COUNT: 33, READY: 48, DONE: 49, SAMPLES: 50 } as const;
export const BELL_OVER = -1;
export const ELAPSED_OFFSET = 248;
export const SAMPLES_OFFSET = 256;
export const SAMPLES_MAX = 65_536;
export const BELL_BYTES = SAMPLES_OFFSET + 8 * SAMPLES_MAX;

/** What the main thread sends along to a thread of a bell. */
export interface WakeWorkerData {
  readonly bell: SharedArrayBuffer;
  readonly role: 'ask' | 'answer';
  /** 'c': the baseline, whose asking and answering are C. */
  readonly by: 'js' | 'c';
  /** Processors that it may run on; empty: any. */
  readonly cpus: readonly number[];
  /** For one that answers a guest: ids of the event that the guest's writes signal and of the one that ends the thread; the guest's order, in its RAM. */
  readonly guest?: { readonly event: number; readonly stop: number; readonly order: Uint8Array };
}

// A thread that loads the machine: words (Int32Array) of a buffer of its own.
// | word    | written by | read by | wake-up                                                          |
// |---------|------------|---------|------------------------------------------------------------------|
// | GO      | main       | thread  | notify; 0: rest, 1: work, LOADER_OVER: end                       |
// | WORKS   | thread     | main    | 1 while it works                                                 |
// | STEPS   | thread     | main    | the last step's number, 1 to 2^31 - 1, and 1 again               |
// | REFUSED | thread     | main    | accesses that the API refused, since there was no memory          |
// | WRONG   | thread     | main    | steps that did not read back what they wrote                     |
export const LOADER = { GO: 0, WORKS: 1, STEPS: 2, REFUSED: 3, WRONG: 4 } as const;
export const LOADER_OVER = -1;
export const LOADER_BYTES = 64;
