// Every scalar layout, in guest memory and on plain bytes, aligned and not, against DataView.

import * as layouts from 'node-kvm';
import { KvmMemory, type Layout } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('layout: scalars');

const BITS: Record<string, readonly (number | bigint)[]> = {
  u8: [0, 1, 0x7f, 0xff],
  i8: [-0x80, -1, 0, 0x7f],
  u16: [0, 0x1234, 0xffff],
  i16: [-0x8000, -2, 0x7fff],
  u32: [0, 0x1234_5678, 0xffff_ffff],
  i32: [-0x8000_0000, -2, 0x7fff_ffff],
  f32: [0, -1.5, Number.POSITIVE_INFINITY, Number.NaN],
  f64: [0.1, -(2 ** 60), Number.NEGATIVE_INFINITY, Number.NaN],
  u64: [0n, 0x0123_4567_89ab_cdefn, 0xffff_ffff_ffff_ffffn],
  i64: [-(2n ** 63n), -2n, 2n ** 63n - 1n],
};
const TOO_FAR: Record<string, readonly unknown[]> = {
  u8: [-1, 256, 0.5],
  i8: [-129, 128],
  u16: [-1, 0x1_0000],
  i16: [-0x8001, 0x8000],
  u32: [-1, 2 ** 32],
  i32: [-(2 ** 31) - 1, 2 ** 31],
  u64: [-1n, 2n ** 64n, -1, 2 ** 53, 0.5],
  i64: [-(2n ** 63n) - 1n, 2n ** 63n, -(2 ** 53)],
};

const KINDS: Record<string, string> = { u: 'Uint', i: 'Int', f: 'Float' };
type Setters = Record<string, (at: number, value: unknown, littleEndian: boolean) => void>;

const named = layouts as unknown as Record<string, Layout<number | bigint>>;
const all = Object.keys(BITS).flatMap(bits =>
  (bits.endsWith('8') ? [bits] : [`${bits}le`, `${bits}be`]).map(name => ({
    name,
    bits,
    layout: named[name] as Layout<number | bigint>,
  })),
);

test('each reads back what was written, in its byte order, at every alignment', () => {
  using memory = new KvmMemory(4096);
  for (const { name, bits, layout } of all) {
    const kind = KINDS[bits[0] ?? ''] + bits.slice(1);
    for (const value of BITS[bits] ?? []) {
      for (let addr = 64; addr < 80; addr++) {
        const plain = new DataView(new ArrayBuffer(8));
        const expected = new DataView(new ArrayBuffer(8));
        const setter = (expected as unknown as Setters)[
          `set${bits.endsWith('64') && !bits.startsWith('f') ? 'Big' : ''}${kind}`
        ];
        setter?.call(expected, 0, value, !name.endsWith('be'));

        memory.writeObj(addr, layout, value);
        layout.write(plain, 0, value);
        const bytes = new Uint8Array(8).fill(0);
        memory.read(addr, bytes.subarray(0, layout.size));

        assert.equal(bytes, new Uint8Array(expected.buffer), `${name} ${value}`);
        assert.equal(new Uint8Array(plain.buffer), new Uint8Array(expected.buffer));
        assert.equal(memory.readObj(addr, layout), name.startsWith('f32') ? Math.fround(Number(value)) : value);
        assert.equal(layout.read(plain, 0), memory.readObj(addr, layout));
      }
    }
  }
});

test('64-bit integers take safe integers too', () => {
  using memory = new KvmMemory(4096);
  memory.writeObj(0, layouts.u64le, Number.MAX_SAFE_INTEGER);
  memory.writeObj(8, layouts.i64be, -5);
  assert.is(memory.readObj(0, layouts.u64le), 2n ** 53n - 1n);
  assert.is(memory.readObj(8, layouts.i64be), -5n);
});

test('what does not fit is refused and nothing is stored', async () => {
  using memory = new KvmMemory(4096);
  memory.memset(0, 0xaa, 4096);
  for (const { name, bits, layout } of all) {
    for (const value of TOO_FAR[bits] ?? []) {
      assert.is(
        await codeOf(() => memory.writeObj(8, layout, value as number)),
        'ERR_OUT_OF_RANGE',
        `${name} ${value}`,
      );
    }
    for (const value of ['1', null, undefined, {}, true]) {
      assert.is(
        await codeOf(() => memory.writeObj(8, layout, value as never)),
        'ERR_INVALID_ARG_TYPE',
        `${name} ${value}`,
      );
    }
  }
  assert.ok(memory.view(0, 4096).every(byte => byte === 0xaa));
});

test('a number is no bigint where bits would be lost, and the other way round', async () => {
  using memory = new KvmMemory(4096);
  assert.is(await codeOf(() => memory.writeObj(0, layouts.u32le, 5n as never)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => memory.writeObj(0, layouts.f64le, 5n as never)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => memory.writeObj(0, layouts.u64le, Number.NaN)), 'ERR_OUT_OF_RANGE');
});

test.run();
