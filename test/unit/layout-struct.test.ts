// Structs, arrays and padding: bytes exactly where the layout says, and types that follow it.

import { array, f32be, i16le, KvmMemory, padding, struct, u8, u16be, u32le, u64le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('layout: structs');

const Point = struct({ x: i16le, y: u16be });
const Header = struct({
  magic: u32le,
  kind: u8,
  reserved: padding(3),
  points: array(Point, 2),
  grid: array(array(u8, 2), 3),
  length: u64le,
  scale: f32be,
});
const value = {
  magic: 0x464c_457f,
  kind: 7,
  points: [
    { x: -2, y: 0x0102 },
    { x: 3, y: 0x0304 },
  ],
  grid: [
    [1, 2],
    [3, 4],
    [5, 6],
  ],
  length: 0x1_0000_0000n,
  scale: 1.5,
};
const bytes = [
  0x7f,
  0x45,
  0x4c,
  0x46,
  7,
  0xaa,
  0xaa,
  0xaa, // padding keeps what was there
  0xfe,
  0xff,
  0x01,
  0x02,
  0x03,
  0x00,
  0x03,
  0x04,
  1,
  2,
  3,
  4,
  5,
  6,
  0,
  0,
  0,
  0,
  1,
  0,
  0,
  0,
  0x3f,
  0xc0,
  0,
  0,
];

test('nothing is implicit: sizes add up', () => {
  assert.is(Point.size, 4);
  assert.is(Header.size, bytes.length);
});

test('every field is where it was put, padding is left alone', () => {
  using memory = new KvmMemory(4096);
  memory.memset(0, 0xaa, 4096);
  memory.writeObj(33, Header, value);

  assert.equal([...memory.view(33, Header.size)], bytes);
  assert.is(memory.readObj(32, u8), 0xaa);
  assert.is(memory.readObj(33 + Header.size, u8), 0xaa);
  assert.equal(memory.readObj(33, Header), value);
});

test('the types follow the layout', () => {
  const view = new DataView(new ArrayBuffer(Header.size));
  Header.write(view, 0, value);
  const { length, points } = Header.read(view, 0);
  const sum: bigint = length + BigInt(points[1]?.x ?? 0);
  assert.is(sum, 0x1_0000_0003n);
  assert.not('reserved' in Header.read(view, 0));
});

test('arrays take any array-like of the right length', async () => {
  using memory = new KvmMemory(4096);
  const four = array(u8, 4);
  memory.writeObj(0, four, Uint8Array.of(1, 2, 3, 4));
  assert.equal(memory.readObj(0, four), [1, 2, 3, 4]);
  assert.is(await codeOf(() => memory.writeObj(0, four, [1, 2, 3])), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => memory.writeObj(0, four, 'abcd' as never)), 'ERR_INVALID_ARG_TYPE');
});

test('layouts that mean nothing are refused', async () => {
  assert.is(await codeOf(() => array(u8, 0)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => array(u8, 1.5)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => array(array(u64le, 2 ** 20), 2 ** 20)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => array({} as typeof u8, 1)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => padding(-1)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => struct({})), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => struct({ a: 'u8' as never })), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => struct({ b: u8, 1: u8 })), 'ERR_OUT_OF_RANGE');
});

test.run();
