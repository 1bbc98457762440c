// The JavaScript kernels on words that several actors write: atomic operations, locks, queues. Runs on actor threads; imports shared/ by way of arena.ts
// only. The C text has the orderings that each algorithm needs; JavaScript has sequentially consistent atomics alone, and plain accesses that promise
// nothing. Here every access that another thread may race with is atomic, so that the results are those that ECMAScript's memory model promises: also
// the data of the seqlock. Plain are only those that a lock or a queue's counters order.

import type { LabKernel } from '../../../shared/lab/kernels.ts';
import type { Arena, Work } from './arena.ts';
import { isOver, report } from './arena.ts';

/** Distances in 32-bit words from `at`. */
const FAR = 64 / 4;
const SLOTS = 128 / 4;
const SEQLOCK_WORDS = 7;

/**
 * A kernel's loop, and what it reports, all below 2^53 (sums of items are, up to 2^27 items). Loops are functions that do nothing else: V8 compiles a loop
 * while it runs the first time, and would throw that code away at whatever follows the loop, in every call anew.
 */
type Loop = (word: number, count: number, slots: number) => Results;
type Results = readonly [operations: number, sum: number, third: number];

function workOf(loop: Loop): Work {
  return ([at = 0, count = 0, slots = 0], values) => {
    const [operations, sum, third] = loop(at >>> 2, count, slots);
    report(values, operations, BigInt(sum), third);
  };
}

/** The sum of 1…count, which is what a sender sends. */
const sumTo = (count: number): number => (count * (count + 1)) / 2;

function wordLoops({ i32, u32 }: Arena) {
  function atomicAdd(word: number, count: number): Results {
    for (let i = 0; i < count; i++) Atomics.add(i32, word, 1);
    return [count, 0, 0];
  }

  function casAdd(word: number, count: number): Results {
    let failed = 0;
    for (let i = 0; i < count; i++) {
      let expected = i32[word] as number;
      for (;;) {
        const seen = Atomics.compareExchange(i32, word, expected, (expected + 1) | 0);
        if (seen === expected) break;
        expected = seen;
        failed++;
      }
    }
    return [count, failed, 0];
  }

  function increment(word: number, count: number): Results {
    for (let i = 0; i < count; i++) u32[word] = (u32[word] as number) + 1;
    return [count, u32[word] as number, 0];
  }

  return { atomicAdd, casAdd, increment };
}

function lockLoops(arena: Arena) {
  const { i32 } = arena;

  function seqlockWrite(sequence: number, count: number): Results {
    for (let i = 0; i < count; i++) {
      const before = i32[sequence] as number;
      const value = (before >>> 1) + 1;
      Atomics.store(i32, sequence, before + 1);
      for (let word = 1; word <= SEQLOCK_WORDS; word++) Atomics.store(i32, sequence + word, value);
      Atomics.store(i32, sequence, before + 2);
    }
    return [count, 0, 0];
  }

  function seqlockRead(sequence: number, count: number): Results {
    let [good, torn, retries] = [0, 0, 0];
    while (good + torn < count) {
      const before = Atomics.load(i32, sequence);
      const first = Atomics.load(i32, sequence + 1);
      let differ = 0;
      for (let word = 2; word <= SEQLOCK_WORDS; word++) differ |= Atomics.load(i32, sequence + word) ^ first;
      if ((before & 1) !== 0 || Atomics.load(i32, sequence) !== before) {
        retries++;
        if (isOver(arena)) break;
      } else if (differ === 0) good++;
      else torn++;
    }
    return [good, torn, retries];
  }

  /** Spins until the word has the value; false when it is over and nobody will store it any more. */
  function reaches(word: number, value: number): boolean {
    while (Atomics.load(i32, word) !== value) if (isOver(arena)) return false;
    return true;
  }

  function ticketLock(next: number, count: number): Results {
    const serving = next + FAR;
    const guarded = next + SLOTS;
    let done = 0;
    for (; done < count; done++) {
      const ticket = Atomics.add(i32, next, 1);
      if (!reaches(serving, ticket)) break;
      i32[guarded] = (i32[guarded] as number) + 1;
      Atomics.store(i32, serving, ticket + 1);
    }
    return [done, 0, 0];
  }

  return { seqlockWrite, seqlockRead, ticketLock };
}

/** Head and tail count all items that ever went in and out, modulo 2^32; each side keeps what it last saw of the other's. */
function ringLoops(arena: Arena) {
  const { i32, u32 } = arena;

  /** Spins until the word has another value than `known`, and gives it; undefined when it is over. */
  function changed(word: number, known: number): number | undefined {
    for (;;) {
      const seen = Atomics.load(i32, word);
      if (seen !== known) return seen;
      if (isOver(arena)) return undefined;
    }
  }

  function spscPush(head: number, count: number, slots: number): Results {
    const items = head + SLOTS;
    let position = i32[head] as number;
    let freed = Atomics.load(i32, head + FAR);
    let sent = 0;
    while (sent < count) {
      // The position minus what was freed never exceeds the slots: that it equals them is that the ring is full.
      if (((position - freed) | 0) === (slots | 0)) {
        const seen = changed(head + FAR, freed);
        if (seen === undefined) break;
        freed = seen;
      }
      sent++;
      i32[items + (position & (slots - 1))] = sent;
      position = (position + 1) | 0;
      Atomics.store(i32, head, position);
    }
    return [sent, sumTo(sent), 0];
  }

  function spscPop(head: number, count: number, slots: number): Results {
    const items = head + SLOTS;
    let position = i32[head + FAR] as number;
    let filled = Atomics.load(i32, head);
    let [received, sum, disorder] = [0, 0, 0];
    while (received < count) {
      if (position === filled) {
        const seen = changed(head, filled);
        if (seen === undefined) break;
        filled = seen;
      }
      const item = u32[items + (position & (slots - 1))] as number;
      position = (position + 1) | 0;
      Atomics.store(i32, head + FAR, position);
      received++;
      sum += item;
      if (item !== received) disorder++;
    }
    return [received, sum, disorder];
  }

  return { spscPush, spscPop };
}

function queueLoops(arena: Arena) {
  const { i32, u32 } = arena;

  /**
   * The cell at the position of `counter` (head or tail), made one's own; undefined when it is over. A cell is ready for it when its sequence is the
   * position + `lead`; behind that, the queue is full or empty; ahead of it, another thread was faster.
   */
  function claim(counter: number, cells: number, mask: number, lead: number): number | undefined {
    let position = Atomics.load(i32, counter);
    for (;;) {
      const ahead = (Atomics.load(i32, cells + 2 * (position & mask)) - position - lead) | 0;
      if (ahead === 0) {
        const seen = Atomics.compareExchange(i32, counter, position, (position + 1) | 0);
        if (seen === position) return position;
        position = seen;
      } else {
        if (ahead < 0 && isOver(arena)) return undefined;
        position = Atomics.load(i32, counter);
      }
    }
  }

  function mpmcPush(head: number, count: number, slots: number): Results {
    const cells = head + SLOTS;
    let sent = 0;
    while (sent < count) {
      const position = claim(head, cells, slots - 1, 0);
      if (position === undefined) break;
      const cell = cells + 2 * (position & (slots - 1));
      sent++;
      i32[cell + 1] = sent;
      Atomics.store(i32, cell, position + 1);
    }
    return [sent, sumTo(sent), 0];
  }

  function mpmcPop(head: number, count: number, slots: number): Results {
    const cells = head + SLOTS;
    let [taken, sum] = [0, 0];
    while (taken < count) {
      const position = claim(head + FAR, cells, slots - 1, 1);
      if (position === undefined) break;
      const cell = cells + 2 * (position & (slots - 1));
      sum += u32[cell + 1] as number;
      Atomics.store(i32, cell, position + slots);
      taken++;
    }
    return [taken, sum, 0];
  }

  return { mpmcPush, mpmcPop };
}

/** The kernels over one arena, as closures over its views, for V8's sake: js-memory.ts says why. */
export function syncKernels(arena: Arena) {
  const loops = { ...wordLoops(arena), ...lockLoops(arena), ...ringLoops(arena), ...queueLoops(arena) };
  type Name = keyof typeof loops & LabKernel;
  const kernels = (Object.entries(loops) as [Name, Loop][]).map(([name, loop]) => [name, workOf(loop)]);
  return Object.fromEntries(kernels) as Record<Name, Work>;
}
