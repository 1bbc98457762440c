// The words by which the lab's coordinator starts its actors (JavaScript, WebAssembly and C threads, vCPUs) and reads what they did. They
// lie in the arena itself, which all of them share: offsets are bytes from its start, and guest-physical addresses as well. Pure.
//
// One repetition: the coordinator sets ARRIVED and DONE to 0 and PARTICIPANTS to the number of those that take part, writes an order into the block of
// each, KERNEL last, then increments its CALL and wakes it. An actor that finds KERNEL 0 goes on sleeping on CALL. Otherwise it pins itself to CPU, adds 1 to
// ARRIVED and spins until ARRIVED = PARTICIPANTS (the start barrier), takes the time, runs the kernel, takes the time, writes its results, sets KERNEL
// to 0, adds 1 to DONE and, as the last one, wakes DONE's waiter. Nobody else is woken: whoever rests must not take time from those who work. EPOCH = OVER ends
// kernels that wait for each other, and, after one more CALL, the actors. Threads sleep in Atomics.wait; a guest reads its gate port instead, whose
// device sleeps there on the vCPU's thread, pins it, and, when the guest comes back, does what follows its results.

/** Where what lies in the arena. Below CODE: the loader's own. After the data: TAIL bytes for the loader's tables and stacks. */
export const LAB_LAYOUT = {
  /** The guest's ELF is linked here. */
  CODE: 0x20_0000,
  CONTROL: 0x40_0000,
  DATA: 0x80_0000,
  TAIL: 0x80_0000,
} as const;

/** A port of 4 bytes: a guest reads it to be told that there is an order; the value is 1, or 0 when it is over. */
export const LAB_GATE_PORT = 0x4c0;

/** Words (u32) of the control area, as indices from its start. Each on a cache line of its own. */
export const LAB_CONTROL = { EPOCH: 0, ARRIVED: 32, PARTICIPANTS: 64, DONE: 96 } as const;
/** EPOCH is 0, and in the end this. */
export const LAB_OVER = -1;

/** An actor's block: bytes from the start of the control area. */
export const LAB_BLOCKS = 1024;
export const LAB_BLOCK_BYTES = 1024;
export const LAB_ACTORS_MAX = 32;

/** Words (u32) of a block, as indices from its start. */
export const LAB_BLOCK = {
  /** A number of LAB_KERNELS; 0 = nothing to do. */
  KERNEL: 0,
  /** Which one of the participants this is, from 0 on. */
  RANK: 1,
  /** 1 + the CPU to run on; 0 = any. */
  CPU: 2,
  /** Counts orders, and the end. */
  CALL: 3,
  /** The kernel's parameters, 16 words: their meanings are in kernels.ts. Offsets into the arena are bytes from its start. */
  PARAMS: 16,
} as const;
export const LAB_PARAMS_MAX = 16;

/** Results (u64) of a block, as indices of 64-bit words from its start. */
export const LAB_RESULT = {
  /** Before and after the kernel. CLOCK_MONOTONIC nanoseconds; of a guest: its time-stamp counter. */
  START: 32,
  END: 33,
  /** Of a guest only: CLOCK_MONOTONIC nanoseconds when it came to its gate, taken by the device: calibrates the counter. */
  GATE: 34,
  /** The kernel's own, 12 words: see kernels.ts. */
  VALUES: 36,
} as const;
export const LAB_VALUES_MAX = 12;
