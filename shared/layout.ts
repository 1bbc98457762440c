// Layouts: how a value lies in bytes. Runs on every thread; pure. Public: user code builds layouts from what is exported here.
// Nothing is implicit: no alignment gaps (write `padding(n)`), no host endianness (`le` or `be` is in the name), no sizes
// that depend on the machine. A layout is compiled once, when it is made, see layout-compile.ts.

import { invalidType, outOfRange } from './errors.ts';
import { compile, fieldPath, type Program, type Spec } from './layout-compile.ts';
import { type ScalarName, type StoreTarget, scalarCodes, scalarPrograms, scalarSpecs } from './layout-scalar.ts';
import { OTHER, type ScalarCode } from './scalar-code.ts';

/**
 * A type in memory. `T` is what reading returns; `W` what writing accepts (64-bit integers: bigint, or a safe integer).
 * `read` and `write` work on any DataView, so a layout also decodes bytes that are not guest memory.
 */
export class Layout<T, W = T> {
  // `declare` for the reason given in span.ts.

  /** Bytes. */
  declare readonly size: number;
  /** For messages: `u32le`, `array(u8, 16)`, `struct`. */
  declare readonly name: string;
  /** Decodes the value at `offset`. RangeError of DataView when it does not fit. */
  declare readonly read: (view: DataView, offset: number) => T;
  /**
   * Checks the whole value, then stores it at `offset`. TypeError `ERR_INVALID_ARG_TYPE` or RangeError `ERR_OUT_OF_RANGE`
   * names the path (`value.header.count`) and the offending value; nothing was stored then.
   */
  declare readonly write: (view: DataView, offset: number, value: W) => void;
  /** @internal Decodes from a span of guest memory: scalars in one access where aligned. */
  declare readonly load: (from: StoreTarget, at: number) => T;
  /** @internal Encodes into a span of guest memory. */
  declare readonly store: (to: StoreTarget, at: number, value: W) => void;
  /** @internal Which of the scalars it is that need no call. */
  declare readonly code: ScalarCode;
  /** @internal */
  declare readonly spec: Spec;

  /** @internal Layouts are made by the functions and constants of this file. */
  constructor(spec: Spec, program: Program, code: ScalarCode = OTHER) {
    this.size = spec.size;
    this.name = spec.name;
    // SAFETY: the program was compiled from the spec that the static type was inferred from.
    this.read = program.read as Layout<T, W>['read'];
    this.write = program.write as Layout<T, W>['write'];
    this.load = program.load as Layout<T, W>['load'];
    this.store = program.store as Layout<T, W>['store'];
    this.code = code;
    this.spec = spec;
  }
}

/** A layout that only takes up room: reading skips it, writing leaves its bytes as they are. */
export class Padding extends Layout<undefined> {
  /** Makes the class nominal: a field of this type is absent from the struct's value. */
  readonly padding = true;
}

/** What reading a layout returns. */
export type ValueOf<L> = L extends Layout<infer T, infer _W> ? T : never;
/** What writing a layout accepts. */
export type InputOf<L> = L extends Layout<infer _T, infer W> ? W : never;

/** Fields of a struct in memory order. */
export type Fields = Readonly<Record<string, Layout<unknown, never>>>;
/** Names of the fields that are not padding. */
export type Named<F> = { [K in keyof F]: F[K] extends Padding ? never : K }[keyof F];
export type StructValue<F> = { [K in Named<F>]: ValueOf<F[K]> };
export type StructInput<F> = { readonly [K in Named<F>]: InputOf<F[K]> };

function scalar<T, W = T>(name: ScalarName): Layout<T, W> {
  return new Layout<T, W>(scalarSpecs[name], scalarPrograms[name], scalarCodes[name]);
}

// Integers of up to 32 bits are numbers, exactly in range when written. 64-bit ones are bigints when read; a bigint or a
// safe integer when written. Floats take any number.
export const u8 = scalar<number>('u8');
export const i8 = scalar<number>('i8');
export const u16le = scalar<number>('u16le');
export const u16be = scalar<number>('u16be');
export const i16le = scalar<number>('i16le');
export const i16be = scalar<number>('i16be');
export const u32le = scalar<number>('u32le');
export const u32be = scalar<number>('u32be');
export const i32le = scalar<number>('i32le');
export const i32be = scalar<number>('i32be');
export const u64le = scalar<bigint, bigint | number>('u64le');
export const u64be = scalar<bigint, bigint | number>('u64be');
export const i64le = scalar<bigint, bigint | number>('i64le');
export const i64be = scalar<bigint, bigint | number>('i64be');
export const f32le = scalar<number>('f32le');
export const f32be = scalar<number>('f32be');
export const f64le = scalar<number>('f64le');
export const f64be = scalar<number>('f64be');

/**
 * `length` values one after the other, `length` ≥ 1. Reads as an array; writes take any array-like object of exactly that length
 * (typed arrays too).
 * @throws `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`
 */
export function array<T, W>(element: Layout<T, W>, length: number): Layout<T[], ArrayLike<W>> {
  const spec = specOf(element, 'element');
  count(length, 'length');
  const name = `array(${spec.name}, ${length})`;
  return make({ kind: 'array', name, size: totalSize(spec.size * length, name), element: spec, length });
}

/**
 * Named fields in the order given, without gaps. Names that JavaScript would reorder (`'0'`, `'17'`) are refused.
 * @example struct({ magic: u32le, kind: u8, reserved: padding(3), length: u64le })
 * @throws `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`
 */
export function struct<const F extends Fields>(fields: F): Layout<StructValue<F>, StructInput<F>> {
  if (fields === null || typeof fields !== 'object') throw invalidType('fields', 'an object of layouts', fields);
  const entries = Object.entries(fields).map(([name, layout]) => {
    if (/^(0|[1-9]\d*)$/.test(name))
      throw outOfRange('field name', 'no integer, since JavaScript reorders those', name);
    return { name, spec: specOf(layout, fieldPath('fields', name)) };
  });
  if (entries.length === 0) throw outOfRange('fields', 'at least one', 0);
  const size = entries.reduce((sum, field) => sum + field.spec.size, 0);
  return make({ kind: 'struct', name: 'struct', size: totalSize(size, 'struct'), fields: entries });
}

/** `bytes` ≥ 1 bytes between fields that no value corresponds to: reads skip them, writes leave them as they are. */
export function padding(bytes: number): Padding {
  count(bytes, 'bytes');
  const spec: Spec = { kind: 'padding', name: `padding(${bytes})`, size: bytes };
  return new Padding(spec, compile(spec));
}

function make<T, W>(spec: Spec): Layout<T, W> {
  return new Layout<T, W>(spec, compile(spec));
}

function specOf(layout: unknown, path: string): Spec {
  if (!(layout instanceof Layout)) throw invalidType(path, 'a layout (u8 … f64be, array, struct, padding)', layout);
  return layout.spec;
}

function count(value: number, name: string): void {
  if (typeof value !== 'number') throw invalidType(name, 'a number', value);
  if (!Number.isInteger(value) || value < 1 || value > 0x7fff_ffff)
    throw outOfRange(name, 'an integer from 1 to 2^31 - 1', value);
}

function totalSize(size: number, name: string): number {
  if (size > 0x7fff_ffff) throw outOfRange(`size of ${name}`, 'at most 2^31 - 1 bytes', size);
  return size;
}
