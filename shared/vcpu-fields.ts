// Checks of what users pass as a vCPU's state: objects without unknown fields, lists, integers of a width. Every thread; pure.
// Each throws TypeError `ERR_INVALID_ARG_TYPE` | `ERR_UNKNOWN_OPTION` or RangeError `ERR_OUT_OF_RANGE`, before anything is written.

import { invalidType, outOfRange, refuseUnknownKeys } from './errors.ts';

const U64_LIMIT = 1n << 64n;

/** An object whose keys are all among `known`. */
export function checkFields(value: unknown, name: string, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null) throw invalidType(name, 'an object', value);
  refuseUnknownKeys(value, known, name);
}

/** An array of at most `most` entries. */
export function checkList(value: unknown, name: string, most: number): void {
  if (!Array.isArray(value)) throw invalidType(name, 'an array', value);
  if (value.length > most) throw outOfRange(`${name}.length`, `at most ${most}`, value.length);
}

/** The value when it is a bigint of 64 bits. */
export function wide(value: bigint, name: string): bigint {
  if (typeof value !== 'bigint') throw invalidType(name, 'a bigint', value);
  if (value < 0n || value >= U64_LIMIT) throw outOfRange(name, 'a bigint from 0 to 2^64 - 1', value);
  return value;
}

/** The value when it is an integer of `bits` bits. */
export function narrow(value: number, bits: 8 | 16 | 32, name: string): number {
  if (typeof value !== 'number') throw invalidType(name, 'a number', value);
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits)
    throw outOfRange(name, `an integer of ${bits} bits`, value);
  return value;
}

/** The kernel takes at most this many at once (MAX_IO_MSRS). */
const MSRS_MAX = 256;

/** Indices for KVM_GET_MSRS. */
export function msrIndices(indices: readonly number[]): Uint32Array {
  checkList(indices, 'indices', MSRS_MAX);
  return Uint32Array.from(indices, (index, i) => narrow(index, 32, `indices[${i}]`));
}

/** Indices and values for KVM_SET_MSRS. */
export function msrPairs(msrs: readonly (readonly [index: number, value: bigint])[]): {
  readonly indices: Uint32Array;
  readonly values: BigUint64Array;
} {
  checkList(msrs, 'msrs', MSRS_MAX);
  for (const [i, pair] of msrs.entries()) {
    if (!Array.isArray(pair)) throw invalidType(`msrs[${i}]`, 'a pair of index and value', pair);
  }
  return {
    indices: Uint32Array.from(msrs, ([index], i) => narrow(index, 32, `msrs[${i}][0]`)),
    values: BigUint64Array.from(msrs, ([, value], i) => wide(value, `msrs[${i}][1]`)),
  };
}
