// Addresses and sizes: parsing, checking, printing. Runs on every thread; pure.
// A guest physical address (gpa) and a size are plain numbers inside the library: safe integers, so up to 2^53 - 1.
// The public API takes number | bigint and goes through toU64() once.

import { invalidType, outOfRange } from './errors.ts';

/** An address or a size in bytes: a safe non-negative integer, or a bigint that fits one. */
export type U64 = number | bigint;

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

/** Bytes of a guest page, the unit of dirty tracking. x86-64's base page size, which is also the host's there. */
export const PAGE_SIZE = 4096;
export const PAGE_SHIFT = 12;

/** Where the first piece of RAM ends at the latest, and where RAM goes on: the PC's hole for MMIO below 4 GiB. */
export const HOLE_START = 3 * GIB;
export const HOLE_END = 4 * GIB;

/**
 * The value as a safe integer ≥ 0.
 * @throws TypeError `ERR_INVALID_ARG_TYPE` for anything but number and bigint; RangeError `ERR_OUT_OF_RANGE` for NaN,
 *   fractions, negative values and values above 2^53 - 1.
 */
export function toU64(value: U64, name: string): number {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0) throw outOfRange(name, 'an integer from 0 to 2^53 - 1', value);
    return value;
  }
  if (typeof value === 'bigint') {
    if (value < 0n || value > 9007199254740991n) throw outOfRange(name, 'an integer from 0 to 2^53 - 1', value);
    return Number(value);
  }
  throw invalidType(name, 'a number or bigint', value);
}

/** `0x…` in lower case, as every message prints addresses and sizes. */
export function hex(value: U64): string {
  return `0x${value.toString(16)}`;
}
