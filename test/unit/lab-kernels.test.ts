// The lab's kernels on plain memory, in JavaScript and in WebAssembly, against a naive model: the same results, and the same bytes in all of the arena's data.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LAB_KERNELS } from '../../shared/lab/kernels.ts';
import { arenaOf } from '../../src/workers/lab/arena.ts';
import { openJsKernels } from '../../src/workers/lab/js-kernels.ts';
import { instantiate } from '../../src/workers/lab/wasm-kernels.ts';
import { codeOf } from '../errors.ts';
import { DATA, DATA_BYTES, KINDS, openKernels, openMemory, type TestedKernel } from '../lab-arena.ts';

const test = suite('lab kernels');

/** Sizes in words around every unrolled loop's step, and one that takes many of them. */
const WORDS = [0, 1, 2, 7, 8, 9, 15, 16, 17, 40, 1000, 1023];
const PASSES = [0, 1, 3];
const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);

/** What a kernel must do, one word at a time: on a copy of the data. Gives operations and sum. */
type Model = (view: DataView, params: readonly number[]) => readonly [number, bigint];

const word = (view: DataView, at: number): bigint => view.getBigUint64(at - DATA, true);

const adding: Model = (view, [at = 0, count = 0]) => {
  view.setUint32(at - DATA, view.getUint32(at - DATA, true) + count, true);
  return [count, 0n];
};

const models: Partial<Record<TestedKernel, Model>> = {
  read(view, [at = 0, bytes = 0, passes = 0]) {
    let sum = 0n;
    for (let i = 0; i < bytes; i += 8) sum += word(view, at + i);
    return [(bytes / 8) * passes, passes === 0 ? 0n : wrap(sum)];
  },
  write(view, [at = 0, bytes = 0, passes = 0, value = 0]) {
    if (passes > 0) for (let i = 0; i < bytes; i += 4) view.setUint32(at - DATA + i, value, true);
    return [(bytes / 8) * passes, 0n];
  },
  copy(view, [at = 0, bytes = 0, passes = 0, from = 0]) {
    if (passes > 0) for (let i = 0; i < bytes; i++) view.setUint8(at - DATA + i, view.getUint8(from - DATA + i));
    return [(bytes / 8) * passes, 0n];
  },
  triad(view, [at = 0, bytes = 0, passes = 0, b = 0, c = 0]) {
    for (let i = 0; passes > 0 && i < bytes; i += 8) {
      const value = view.getFloat64(b - DATA + i, true) + 3 * view.getFloat64(c - DATA + i, true);
      view.setFloat64(at - DATA + i, value, true);
    }
    return [(bytes / 8) * passes, 0n];
  },
  strided(view, [at = 0, bytes = 0, passes = 0, stride = 0]) {
    let sum = 0n;
    const count = Math.floor(bytes / stride);
    for (let i = 0; i < count; i++) sum += word(view, at + i * stride);
    return [count * passes, passes === 0 ? 0n : wrap(sum)];
  },
  random(view, [at = 0, bytes = 0, count = 0, seed = 0, writes = 0]) {
    let x = BigInt(seed);
    let sum = 0n;
    for (let i = 0; i < count; i++) {
      x ^= (x << 13n) & 0xffff_ffffn;
      x ^= x >> 17n;
      x ^= (x << 5n) & 0xffff_ffffn;
      const place = at - DATA + 8 * Number(x % BigInt(bytes / 8));
      const isStore = ((x * 0x9e3779b1n) & 0xffff_ffffn) >> 24n < BigInt(writes);
      if (isStore) view.setBigUint64(place, BigInt(i), true);
      else sum += view.getBigUint64(place, true);
    }
    return [count, wrap(sum)];
  },
  chase(view, [at = 0, count = 0]) {
    let p = at;
    for (let i = 0; i < count; i++) p = view.getUint32(p - DATA, true);
    return [count, BigInt(p)];
  },
  dirty(view, [at = 0, pages = 0, passes = 0, step = 0]) {
    let written = 0;
    for (let pass = 1; pass <= passes; pass++)
      for (let page = 0; page < pages; page += step, written++) view.setUint32(at - DATA + 4096 * page, pass, true);
    return [written, 0n];
  },
  atomicAdd: adding,
  casAdd: adding,
  increment(view, [at = 0, count = 0]) {
    const last = (view.getUint32(at - DATA, true) + count) >>> 0;
    view.setUint32(at - DATA, last, true);
    return [count, BigInt(last)];
  },
};

/** Data whose sums need all 64 bits, with doubles that are not NaN where the triad reads. */
function fill(bytes: Uint8Array): void {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 0x9e3779b1);
}

/** Runs the kernel of both kinds, on the same bytes as the model. */
async function compare(name: TestedKernel, cases: readonly (readonly number[])[], prepare = fill): Promise<void> {
  const model = models[name];
  assert.ok(model && cases.length > 0);
  for (const kind of KINDS) {
    const memory = openMemory();
    const run = await openKernels(kind, memory);
    const data = new Uint8Array(memory.buffer, DATA, DATA_BYTES);
    for (const params of cases) {
      prepare(data);
      const expected = data.slice();
      const [operations, sum] = model(new DataView(expected.buffer), params);
      const title = `${kind} ${name} ${params.join(' ')}`;

      assert.equal(run(name, ...params), [BigInt(operations), sum, 0n], title);
      assert.is(Buffer.compare(data, expected), 0, `${title}: memory`);
    }
  }
}

const A = DATA + 0x100;
const B = DATA + 0x4_0008;
const C = DATA + 0x8_0010;
const sizes = WORDS.flatMap(words => PASSES.map(passes => [words * 8, passes] as const));

test('every kernel that is not litmus is there, in both kinds', async () => {
  const names = Object.entries(LAB_KERNELS).filter(([, number]) => number < 64);
  const expected = names.map(([name]) => name).sort();

  assert.equal(Object.keys(openJsKernels(arenaOf(openMemory().buffer))).sort(), expected);
  assert.equal(Object.keys(await instantiate(openMemory())).sort(), expected);
});

test('read: sums of 64 bits, wrapping', () =>
  compare(
    'read',
    sizes.map(([bytes, passes]) => [A, bytes, passes]),
  ));

test('write: the value in both halves, whatever its bits as a double', () =>
  compare(
    'write',
    sizes.flatMap(([bytes, passes]) => [0, 0x7ff4_0001, 0xffff_ffff].map(value => [A, bytes, passes, value])),
  ));

test('copy: all bytes', () =>
  compare(
    'copy',
    sizes.map(([bytes, passes]) => [A, bytes, passes, B]),
  ));

test('triad: as doubles', () =>
  compare(
    'triad',
    sizes.map(([bytes, passes]) => [A, bytes, passes, B, C]),
    data => {
      const doubles = new Float64Array(data.buffer, data.byteOffset, data.byteLength / 8);
      for (let i = 0; i < doubles.length; i++) doubles[i] = (i % 1000) / 7;
    },
  ));

test('strided: one word each stride, as many as fit', () =>
  compare(
    'strided',
    [8, 64, 72, 4096].flatMap(stride => sizes.map(([bytes, passes]) => [A, 16 * bytes, passes, stride])),
  ));

test('random: loads and stores in any proportion', () =>
  compare(
    'random',
    [0, 1, 64, 256].flatMap(writes => [8, 1024, 1 << 17].map(bytes => [A, bytes, 5000, 0x1234_5678, writes])),
  ));

test('chase: follows the chain', () =>
  compare(
    'chase',
    [0, 1, 5, 10_000].map(count => [DATA + 64, count]),
    data => {
      const view = new DataView(data.buffer, data.byteOffset);
      for (let line = 0; line < 1024; line++) view.setUint32(64 * line, DATA + 64 * ((line * 5 + 3) % 1024), true);
    },
  ));

test('dirty: one word of each step-th page', () =>
  compare(
    'dirty',
    [1, 2, 7].flatMap(step => [0, 1, 6, 64].map(pages => [DATA + 0x1000, pages, 3, step])),
  ));

for (const name of ['atomicAdd', 'casAdd', 'increment'] as const)
  test(`${name}: counts modulo 2^32`, () =>
    compare(
      name,
      [0, 1, 1000].map(count => [A, count]),
      data => new Uint32Array(data.buffer, A, 1).fill(0xffff_fff0),
    ));

test('parameters that name what is outside or not aligned are refused, and nothing is changed', async () => {
  const end = DATA + DATA_BYTES;
  const refused: readonly (readonly [TestedKernel, string, ...number[]])[] = [
    ['read', 'ERR_OUT_OF_RANGE', end - 8, 16, 1],
    ['read', 'ERR_MEMORY_ALIGNMENT', A + 4, 8, 1],
    ['write', 'ERR_OUT_OF_RANGE', 0xffff_fff8, 8, 1, 1],
    ['copy', 'ERR_OUT_OF_RANGE', A, 4096, 1, end - 4088],
    ['copy', 'ERR_OUT_OF_RANGE', end - 4088, 4096, 1, A],
    ['triad', 'ERR_OUT_OF_RANGE', A, 4096, 1, B, end - 8],
    ['triad', 'ERR_MEMORY_ALIGNMENT', A, 4096, 1, B + 1, C],
    ['strided', 'ERR_OUT_OF_RANGE', A, 4096, 1, 0],
    ['strided', 'ERR_MEMORY_ALIGNMENT', A, 4096, 1, 12],
    ['random', 'ERR_OUT_OF_RANGE', A, 4096 + 8, 1, 1, 256],
    ['random', 'ERR_OUT_OF_RANGE', A, 4, 1, 1, 256],
    ['chase', 'ERR_OUT_OF_RANGE', end, 1],
    ['atomicAdd', 'ERR_MEMORY_ALIGNMENT', A + 2, 1],
    ['casAdd', 'ERR_OUT_OF_RANGE', end, 1],
    ['increment', 'ERR_MEMORY_ALIGNMENT', A + 1, 1],
    ['seqlockWrite', 'ERR_OUT_OF_RANGE', end - 28, 1],
    ['seqlockRead', 'ERR_OUT_OF_RANGE', end - 28, 1],
    ['ticketLock', 'ERR_OUT_OF_RANGE', end - 128, 1],
    ['spscPush', 'ERR_OUT_OF_RANGE', end - 128 - 4 * 8, 1, 16],
    ['spscPop', 'ERR_OUT_OF_RANGE', A, 1, 12],
    ['mpmcPush', 'ERR_OUT_OF_RANGE', end - 128 - 8 * 8, 1, 16],
    ['mpmcPop', 'ERR_OUT_OF_RANGE', A, 1, 0],
    ['dirty', 'ERR_OUT_OF_RANGE', end - 4096, 2, 1, 1],
    ['dirty', 'ERR_OUT_OF_RANGE', DATA, 2, 1, 0],
  ];
  for (const kind of KINDS) {
    const memory = openMemory();
    const run = await openKernels(kind, memory);
    for (const [name, code, ...params] of refused)
      assert.is(await codeOf(() => run(name, ...params)), code, `${kind} ${name} ${params.join(' ')}`);
    assert.ok(new Uint8Array(memory.buffer, DATA).every(byte => byte === 0));
  }
});

test.run();
