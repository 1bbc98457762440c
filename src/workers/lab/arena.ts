// The lab's shared memory as JavaScript kernels see it, and what a kernel is to an actor. Runs on actor threads. Pure but for the error class: imports
// shared/ only, knows no threads and no orders.

import { HypervisorError } from '../../../shared/errors.ts';
import { LAB_CONTROL, LAB_LAYOUT, LAB_OVER } from '../../../shared/lab/control.ts';

/** Views of the whole arena, made once per actor: a subarray per call would cost more than some kernels' work. */
export interface Arena {
  readonly u8: Uint8Array<SharedArrayBuffer>;
  readonly i32: Int32Array<SharedArrayBuffer>;
  readonly u32: Uint32Array<SharedArrayBuffer>;
  readonly u64: BigUint64Array<SharedArrayBuffer>;
  readonly f64: Float64Array<SharedArrayBuffer>;
}

/**
 * One kernel of shared/lab/kernels.ts. Runs to its end and blocks its thread meanwhile.
 * @param params by position, as that file lists them: u32
 * @param values the results: operations, sum, and the kernel's own third; at least 3 words, all three are written
 * @throws HypervisorError `ERR_OUT_OF_RANGE` or `ERR_MEMORY_ALIGNMENT` before anything is changed, when parameters do not fit the arena
 */
export type Kernel = (arena: Arena, params: Uint32Array, values: BigUint64Array) => void;

/** A kernel's work over an arena that it knows, with parameters that fit it (checked.ts makes a {@link Kernel} of it). */
export type Work = (params: Uint32Array, values: BigUint64Array) => void;

export function arenaOf(buffer: SharedArrayBuffer): Arena {
  return {
    u8: new Uint8Array(buffer),
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    u64: new BigUint64Array(buffer),
    f64: new Float64Array(buffer),
  };
}

/**
 * Checks that `count` elements of `size` bytes from byte `at` on lie in the arena, and gives the first one's index in a view of that element size.
 * Typed arrays drop stores outside without a word: work that was not done must not look done.
 */
export function place(arena: Arena, at: number, count: number, size: number): number {
  const { byteLength } = arena.u32.buffer;
  if (at % size !== 0)
    throw new HypervisorError('ERR_MEMORY_ALIGNMENT', `0x${at.toString(16)} is not a multiple of ${size}`);
  if (at + count * size > byteLength) {
    const end = (at + count * size).toString(16);
    const text = `0x${at.toString(16)} to 0x${end} is not within an arena of 0x${byteLength.toString(16)} bytes`;
    throw new HypervisorError('ERR_OUT_OF_RANGE', text);
  }
  return at / size;
}

export function notZero(name: string, value: number): number {
  if (value === 0) throw new HypervisorError('ERR_OUT_OF_RANGE', `${name} is 0`);
  return value;
}

/** Queues and random accesses mask their positions: a count that is no power of two would skip places. */
export function powerOfTwo(name: string, value: number): number {
  if (value < 1 || !Number.isInteger(Math.log2(value)))
    throw new HypervisorError('ERR_OUT_OF_RANGE', `${name}: ${value} is not a power of two`);
  return value;
}

/** Whether the coordinator has ended all work: who waits for another actor looks at it, because the other may be gone. */
export function isOver({ i32 }: Arena): boolean {
  return i32[LAB_LAYOUT.CONTROL / 4 + LAB_CONTROL.EPOCH] === LAB_OVER;
}

/** Results as all kernels give them; numbers must be whole and below 2^53. */
export function report(values: BigUint64Array, operations: number, sum: bigint, third = 0): void {
  values[0] = BigInt(operations);
  values[1] = sum;
  values[2] = BigInt(third);
}
