// The scalar layouts: one access each, and the check of what may be written. Runs on every thread; pure.
//
// Two forms of access. On any bytes (`read`, `write`): a DataView. On a span of guest memory (`load`, `store`): a typed array
// where the address is aligned, because *only those are single accesses*: V8's unoptimised DataView loads and stores byte by
// byte, and another thread or a vCPU then sees half of a value. (That the machine is little-endian is checked when the
// addon loads: x86-64 only.)

import { invalidType, outOfRange } from './errors.ts';
import type { Program, ScalarSpec } from './layout-compile.ts';
import { F64, I32, type ScalarCode, U8, U16, U32, U64 } from './scalar-code.ts';

/** The scalars that Span handles itself. */
export const scalarCodes: Readonly<Partial<Record<ScalarName, ScalarCode>>> = {
  u8: U8,
  u16le: U16,
  u32le: U32,
  i32le: I32,
  u64le: U64,
  f64le: F64,
};

/** The views of a span that scalars use. */
export interface StoreTarget {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly i8: Int8Array;
  readonly u16: Uint16Array;
  readonly i16: Int16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f32: Float32Array;
  readonly u64: BigUint64Array;
  readonly i64: BigInt64Array;
  readonly f64: Float64Array;
}

export type ScalarName =
  | 'u8'
  | 'i8'
  | 'u16le'
  | 'u16be'
  | 'i16le'
  | 'i16be'
  | 'u32le'
  | 'u32be'
  | 'i32le'
  | 'i32be'
  | 'f32le'
  | 'f32be'
  | 'u64le'
  | 'u64be'
  | 'i64le'
  | 'i64be'
  | 'f64le'
  | 'f64be';

const MAX_SAFE = Number.MAX_SAFE_INTEGER;

function refuse(value: unknown, expected: string, path: string): never {
  if (typeof value === 'number' || typeof value === 'bigint') throw outOfRange(path, expected, value);
  throw invalidType(path, expected, value);
}

/** Checks an integer of up to 32 bits. */
function small(value: unknown, min: number, max: number, path: string): number {
  if (typeof value === 'number' && value >= min && value <= max && Number.isInteger(value)) return value;
  return refuse(value, `an integer from ${min} to ${max}`, path);
}

function wide(value: unknown, signed: boolean, path: string): bigint {
  const expected = signed
    ? 'a bigint or safe integer from -2^63 to 2^63 - 1'
    : 'a bigint or safe integer from 0 to 2^64 - 1';
  if (typeof value === 'number' && value >= (signed ? -MAX_SAFE : 0) && value <= MAX_SAFE && Number.isInteger(value))
    return BigInt(value);
  return refuse(value, expected, path);
}

function unsigned64(value: unknown, path: string): bigint {
  return typeof value === 'bigint' && BigInt.asUintN(64, value) === value ? value : wide(value, false, path);
}

function signed64(value: unknown, path: string): bigint {
  return typeof value === 'bigint' && BigInt.asIntN(64, value) === value ? value : wide(value, true, path);
}

function float(value: unknown, path: string): number {
  return typeof value === 'number' ? value : refuse(value, 'a number', path);
}

type Check = (value: unknown, path: string) => number | bigint;
const checks = {
  u8: (value, path) => small(value, 0, 0xff, path),
  i8: (value, path) => small(value, -0x80, 0x7f, path),
  u16: (value, path) => small(value, 0, 0xffff, path),
  i16: (value, path) => small(value, -0x8000, 0x7fff, path),
  u32: (value, path) => small(value, 0, 0xffff_ffff, path),
  i32: (value, path) => small(value, -0x8000_0000, 0x7fff_ffff, path),
  u64: unsigned64,
  i64: signed64,
  f32: float,
  f64: float,
} satisfies Record<string, Check>;

function spec(name: ScalarName, bits: keyof typeof checks, accessor: string): ScalarSpec {
  const size = Number(bits.slice(1)) / 8;
  return { kind: 'scalar', name, size, accessor, littleEndian: !name.endsWith('be'), type: bits, check: checks[bits] };
}

export const scalarSpecs: Readonly<Record<ScalarName, ScalarSpec>> = {
  u8: spec('u8', 'u8', 'Uint8'),
  i8: spec('i8', 'i8', 'Int8'),
  u16le: spec('u16le', 'u16', 'Uint16'),
  u16be: spec('u16be', 'u16', 'Uint16'),
  i16le: spec('i16le', 'i16', 'Int16'),
  i16be: spec('i16be', 'i16', 'Int16'),
  u32le: spec('u32le', 'u32', 'Uint32'),
  u32be: spec('u32be', 'u32', 'Uint32'),
  i32le: spec('i32le', 'i32', 'Int32'),
  i32be: spec('i32be', 'i32', 'Int32'),
  f32le: spec('f32le', 'f32', 'Float32'),
  f32be: spec('f32be', 'f32', 'Float32'),
  u64le: spec('u64le', 'u64', 'BigUint64'),
  u64be: spec('u64be', 'u64', 'BigUint64'),
  i64le: spec('i64le', 'i64', 'BigInt64'),
  i64be: spec('i64be', 'i64', 'BigInt64'),
  f64le: spec('f64le', 'f64', 'Float64'),
  f64be: spec('f64be', 'f64', 'Float64'),
};

// Eight bytes to turn a value round in: big-endian scalars travel through them, so that guest memory itself sees one access.
const turn = new DataView(new ArrayBuffer(8));
const turn16 = new Uint16Array(turn.buffer);
const turn32 = new Uint32Array(turn.buffer);
const turn64 = new BigUint64Array(turn.buffer);

type Read<T> = (view: DataView, offset: number) => T;
type Write<T> = (view: DataView, offset: number, value: T) => void;

/** A big-endian scalar: decoded and encoded in `turn`, moved from and to memory as one little-endian word. */
function bigEndian<T extends number | bigint>(size: 2 | 4 | 8, check: Check, read: Read<T>, write: Write<T>): Program {
  const mask = size - 1;
  return {
    read,
    write: (view, offset, value) => write(view, offset, check(value, 'value') as T),
    load(from, at) {
      if ((at & mask) !== 0) return read(from.view, at);
      if (size === 2) turn16[0] = from.u16[at >>> 1] as number;
      else if (size === 4) turn32[0] = from.u32[at >>> 2] as number;
      else turn64[0] = from.u64[at >>> 3] as bigint;
      return read(turn, 0);
    },
    store(to, at, value) {
      const checked = check(value, 'value') as T;
      if ((at & mask) !== 0) return write(to.view, at, checked);
      write(turn, 0, checked);
      if (size === 2) to.u16[at >>> 1] = turn16[0] as number;
      else if (size === 4) to.u32[at >>> 2] = turn32[0] as number;
      else to.u64[at >>> 3] = turn64[0] as bigint;
    },
  };
}

// Written out one by one: each is the hot path of readObj/writeObj, and must be small enough to be inlined there.
export const scalarPrograms: Readonly<Record<ScalarName, Program>> = {
  u8: {
    read: (view, offset) => view.getUint8(offset),
    write: (view, offset, value) => view.setUint8(offset, checks.u8(value, 'value')),
    load: (from, at) => from.bytes[at],
    store: (to, at, value) => {
      to.bytes[at] = checks.u8(value, 'value');
    },
  },
  i8: {
    read: (view, offset) => view.getInt8(offset),
    write: (view, offset, value) => view.setInt8(offset, checks.i8(value, 'value')),
    load: (from, at) => from.i8[at],
    store: (to, at, value) => {
      to.i8[at] = checks.i8(value, 'value');
    },
  },
  u16le: {
    read: (view, offset) => view.getUint16(offset, true),
    write: (view, offset, value) => view.setUint16(offset, checks.u16(value, 'value'), true),
    load: (from, at) => ((at & 1) === 0 ? from.u16[at >>> 1] : from.view.getUint16(at, true)),
    store: (to, at, value) => {
      const checked = checks.u16(value, 'value');
      if ((at & 1) === 0) to.u16[at >>> 1] = checked;
      else to.view.setUint16(at, checked, true);
    },
  },
  i16le: {
    read: (view, offset) => view.getInt16(offset, true),
    write: (view, offset, value) => view.setInt16(offset, checks.i16(value, 'value'), true),
    load: (from, at) => ((at & 1) === 0 ? from.i16[at >>> 1] : from.view.getInt16(at, true)),
    store: (to, at, value) => {
      const checked = checks.i16(value, 'value');
      if ((at & 1) === 0) to.i16[at >>> 1] = checked;
      else to.view.setInt16(at, checked, true);
    },
  },
  u32le: {
    read: (view, offset) => view.getUint32(offset, true),
    write: (view, offset, value) => view.setUint32(offset, checks.u32(value, 'value'), true),
    load: (from, at) => ((at & 3) === 0 ? from.u32[at >>> 2] : from.view.getUint32(at, true)),
    store: (to, at, value) => {
      const checked = checks.u32(value, 'value');
      if ((at & 3) === 0) to.u32[at >>> 2] = checked;
      else to.view.setUint32(at, checked, true);
    },
  },
  i32le: {
    read: (view, offset) => view.getInt32(offset, true),
    write: (view, offset, value) => view.setInt32(offset, checks.i32(value, 'value'), true),
    load: (from, at) => ((at & 3) === 0 ? from.i32[at >>> 2] : from.view.getInt32(at, true)),
    store: (to, at, value) => {
      const checked = checks.i32(value, 'value');
      if ((at & 3) === 0) to.i32[at >>> 2] = checked;
      else to.view.setInt32(at, checked, true);
    },
  },
  f32le: {
    read: (view, offset) => view.getFloat32(offset, true),
    write: (view, offset, value) => view.setFloat32(offset, checks.f32(value, 'value'), true),
    load: (from, at) => ((at & 3) === 0 ? from.f32[at >>> 2] : from.view.getFloat32(at, true)),
    store: (to, at, value) => {
      const checked = checks.f32(value, 'value');
      if ((at & 3) === 0) to.f32[at >>> 2] = checked;
      else to.view.setFloat32(at, checked, true);
    },
  },
  u64le: {
    read: (view, offset) => view.getBigUint64(offset, true),
    write: (view, offset, value) => view.setBigUint64(offset, checks.u64(value, 'value'), true),
    load: (from, at) => ((at & 7) === 0 ? from.u64[at >>> 3] : from.view.getBigUint64(at, true)),
    store: (to, at, value) => {
      const checked = checks.u64(value, 'value');
      if ((at & 7) === 0) to.u64[at >>> 3] = checked;
      else to.view.setBigUint64(at, checked, true);
    },
  },
  i64le: {
    read: (view, offset) => view.getBigInt64(offset, true),
    write: (view, offset, value) => view.setBigInt64(offset, checks.i64(value, 'value'), true),
    load: (from, at) => ((at & 7) === 0 ? from.i64[at >>> 3] : from.view.getBigInt64(at, true)),
    store: (to, at, value) => {
      const checked = checks.i64(value, 'value');
      if ((at & 7) === 0) to.i64[at >>> 3] = checked;
      else to.view.setBigInt64(at, checked, true);
    },
  },
  f64le: {
    read: (view, offset) => view.getFloat64(offset, true),
    write: (view, offset, value) => view.setFloat64(offset, checks.f64(value, 'value'), true),
    load: (from, at) => ((at & 7) === 0 ? from.f64[at >>> 3] : from.view.getFloat64(at, true)),
    store: (to, at, value) => {
      const checked = checks.f64(value, 'value');
      if ((at & 7) === 0) to.f64[at >>> 3] = checked;
      else to.view.setFloat64(at, checked, true);
    },
  },
  u16be: bigEndian(
    2,
    checks.u16,
    (v, o) => v.getUint16(o),
    (v, o, x) => v.setUint16(o, x),
  ),
  i16be: bigEndian(
    2,
    checks.i16,
    (v, o) => v.getInt16(o),
    (v, o, x) => v.setInt16(o, x),
  ),
  u32be: bigEndian(
    4,
    checks.u32,
    (v, o) => v.getUint32(o),
    (v, o, x) => v.setUint32(o, x),
  ),
  i32be: bigEndian(
    4,
    checks.i32,
    (v, o) => v.getInt32(o),
    (v, o, x) => v.setInt32(o, x),
  ),
  f32be: bigEndian(
    4,
    checks.f32,
    (v, o) => v.getFloat32(o),
    (v, o, x) => v.setFloat32(o, x),
  ),
  u64be: bigEndian(
    8,
    checks.u64,
    (v, o) => v.getBigUint64(o),
    (v, o, x) => v.setBigUint64(o, x),
  ),
  i64be: bigEndian(
    8,
    checks.i64,
    (v, o) => v.getBigInt64(o),
    (v, o, x) => v.setBigInt64(o, x),
  ),
  f64be: bigEndian(
    8,
    checks.f64,
    (v, o) => v.getFloat64(o),
    (v, o, x) => v.setFloat64(o, x),
  ),
};
