// The addon re-checks what would be unsafe: a wrong argument is a TypeError or RangeError with a code, never a crash, and
// nothing happens. Without KVM.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { codeOf } from '../errors.ts';

const test = suite('native arguments');
const addon = native();
const PAGE = addon.pageSize;

/** A value that is not what the types say: what untyped JavaScript may pass. */
const wrong = <T>(value: unknown): T => value as T;

const { buffer } = addon.mapMemory({ size: 4 * PAGE, kind: 'anonymous' });
const bytes = new Uint8Array(buffer);

test('numbers: neither fractions, NaN, negative ones nor what is beyond the end', async () => {
  for (const bad of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, bytes.length + 1]) {
    assert.is(await codeOf(() => addon.fill(bytes, bad, 0, 0)), 'ERR_OUT_OF_RANGE', `fill at ${bad}`);
    assert.is(await codeOf(() => addon.copy(bytes, 0, bytes, bad, 0)), 'ERR_OUT_OF_RANGE', `copy from ${bad}`);
    assert.is(await codeOf(() => addon.prefault(buffer, bad, 0, 1)), 'ERR_OUT_OF_RANGE', `prefault at ${bad}`);
  }
});

test('a sum that would wrap is out of range', async () => {
  const end = Number.MAX_SAFE_INTEGER;
  assert.is(await codeOf(() => addon.fill(bytes, 1, end, 0)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => addon.copy(bytes, end, bytes, 0, end)), 'ERR_OUT_OF_RANGE');
});

test('numbers: nothing but numbers', async () => {
  for (const bad of [undefined, null, '1', 1n, {}, [1], true]) {
    assert.is(await codeOf(() => addon.fill(bytes, wrong(bad), 0, 0)), 'ERR_INVALID_ARG_TYPE', String(bad));
    assert.is(await codeOf(() => addon.kick(wrong(bad))), 'ERR_INVALID_ARG_TYPE', String(bad));
  }
});

test('shared buffers: no array buffer, view, proxy or look-alike', async () => {
  const alike = Object.create(SharedArrayBuffer.prototype) as SharedArrayBuffer;
  for (const bad of [undefined, null, 1, new ArrayBuffer(8), bytes, new Proxy(buffer, {}), alike]) {
    assert.is(await codeOf(() => addon.addressOf(wrong(bad))), 'ERR_INVALID_ARG_TYPE');
  }
});

test('views: Uint8Array and DataView alone', async () => {
  for (const bad of [undefined, new ArrayBuffer(8), new Uint16Array(buffer), new Proxy(bytes, {})]) {
    assert.is(await codeOf(() => addon.fill(wrong(bad), 0, 0, 0)), 'ERR_INVALID_ARG_TYPE');
    assert.is(await codeOf(() => addon.takeMarks(wrong(bad), bytes, 0, bytes, null)), 'ERR_INVALID_ARG_TYPE');
  }
});

test('a detached array has no bytes', async () => {
  const detached = new Uint8Array(64);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });

  assert.is(await codeOf(() => addon.fill(detached, 0, 1, 0)), 'ERR_OUT_OF_RANGE');
});

test('a value is a byte', async () => {
  assert.is(await codeOf(() => addon.fill(bytes, 0, 1, 256)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => addon.fill(bytes, 0, 1, -1)), 'ERR_OUT_OF_RANGE');
});

test('a mapping: sizes, kinds and types', async () => {
  for (const size of [0, -PAGE, PAGE + 1, 0.5]) {
    assert.is(await codeOf(() => addon.mapMemory({ size, kind: 'anonymous' })), 'ERR_OUT_OF_RANGE', `size ${size}`);
  }
  assert.is(await codeOf(() => addon.mapMemory({ size: PAGE, kind: wrong('heap') })), 'ERR_OUT_OF_RANGE');
  assert.is(
    await codeOf(() => addon.mapMemory({ size: PAGE, kind: 'anonymous', hugePages: '2M' })),
    'ERR_OUT_OF_RANGE',
  );
  assert.is(await codeOf(() => addon.mapMemory({ size: wrong('1'), kind: 'anonymous' })), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => addon.mapMemory(wrong(undefined))), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => addon.mapMemory({ size: PAGE, kind: 'file', path: 'a\0b' })), 'ERR_OUT_OF_RANGE');
  assert.is(
    await codeOf(() => addon.mapMemory({ size: PAGE, kind: 'file', path: '/dev/null', fileOffset: 1 })),
    'ERR_OUT_OF_RANGE',
  );
});

test("a spec's getter that throws is the caller's own error", () => {
  const spec = {
    kind: 'anonymous' as const,
    get size(): number {
      throw new Error('from the getter');
    },
  };

  assert.throws(() => addon.mapMemory(spec), 'from the getter');
});

test('external memory must be mapped', async () => {
  assert.is(await codeOf(() => addon.wrapExternal(0n, PAGE, false)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => addon.wrapExternal(2n ** 64n - BigInt(PAGE), 2 * PAGE, false)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => addon.wrapExternal(-1n, PAGE, false)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => addon.wrapExternal(2n ** 64n, PAGE, false)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => addon.wrapExternal(wrong(4096), PAGE, false)), 'ERR_INVALID_ARG_TYPE');
});

test('CPUs, threads and periods', async () => {
  assert.is(await codeOf(() => addon.setAffinity([])), 'ERR_SYSCALL');
  assert.is(await codeOf(() => addon.setAffinity([8192])), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => addon.setAffinity([wrong('0')])), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => addon.setAffinity(wrong(0))), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => addon.kick(0)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => addon.heartbeat(-1)), 'ERR_OUT_OF_RANGE');
});

test("the lab's futexes take single words of shared memory", async () => {
  const word = () => new Uint8Array(new SharedArrayBuffer(4));
  const none = new Float64Array(0);

  assert.is(await codeOf(() => addon.wakeAnswer(new Uint8Array(4), word(), 0, 1)), 'ERR_INVALID_ARG_TYPE');
  assert.is(
    await codeOf(() => addon.wakeAnswer(word(), new Uint8Array(new SharedArrayBuffer(8)), 0, 1)),
    'ERR_OUT_OF_RANGE',
  );
  assert.is(
    await codeOf(() => addon.wakeAsk(new Uint8Array(new SharedArrayBuffer(8), 1, 4), word(), 0, 1, none)),
    'ERR_OUT_OF_RANGE',
  );
  assert.is(await codeOf(() => addon.wakeAsk(word(), word(), -1, 1, none)), 'ERR_OUT_OF_RANGE');
  // Nobody asks: it comes back.
  assert.is(addon.wakeAnswer(word(), word(), 0, 1), 0);
  // No question: nothing to wait for.
  assert.ok(addon.wakeAsk(word(), word(), 0, 0, none) > 0);
});

test("the lab's server of exits takes its words", async () => {
  const words = (bytes: number) => new Uint8Array(new SharedArrayBuffer(bytes));

  assert.is(await codeOf(() => addon.serveExits(new Uint8Array(4), [])), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => addon.serveExits(words(8), [])), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => addon.serveExits(words(4), [words(8), words(4)])), 'ERR_OUT_OF_RANGE');
  // Nobody rings: it comes back. What was asked before is handled, one exit at a time: its vCPU would wait for each.
  const asked = words(8);
  new Uint32Array(asked.buffer)[1] = 1;
  addon.serveExits(words(4), [asked, words(8)]);
  assert.equal([...new Uint32Array(asked.buffer)], [1, 1]);
});

test("the lab's marked writes stay within their buffers, and are what takeMarks takes", async () => {
  const PAGES = 4097;
  const shared = (bytes: number) => new Uint8Array(new SharedArrayBuffer(bytes));
  const [data, marks, summary] = [shared(PAGES * 4096), shared(PAGES), shared(2)];

  assert.is(await codeOf(() => addon.writeMarked(new Uint8Array(4096), marks, summary, 1)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => addon.writeMarked(data, shared(PAGES - 1), summary, 1)), 'ERR_BUFFER_TOO_SMALL');
  assert.is(await codeOf(() => addon.writeMarked(data, marks, shared(1), 1)), 'ERR_BUFFER_TOO_SMALL');
  assert.is(data[0], 0);

  addon.writeMarked(data, marks, summary, 0x0403_0201);
  assert.equal([...data.subarray((PAGES - 1) * 4096).subarray(0, 5)], [1, 2, 3, 4, 0]);
  const bits = new Uint8Array(Math.ceil(PAGES / 8));
  assert.is(addon.takeMarks(marks, summary, PAGES, bits, null), PAGES);
  assert.is(addon.countBits(bits, 0, PAGES), PAGES);
  assert.is(addon.takeMarks(marks, summary, PAGES, bits, null), 0);
});

test('descriptors that are no VM', async () => {
  const stats = new Uint8Array(new SharedArrayBuffer(1024));
  assert.is(await codeOf(() => addon.attachVm(-1)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => addon.attachVm(0)), 'ERR_NOT_A_VM');
  assert.is(await codeOf(() => addon.attachVm(999_999)), 'ERR_NOT_A_VM');
  assert.is(await codeOf(() => addon.createVcpu(0, 0, stats)), 'ERR_NOT_A_VM');
});

test('statistics need a shared, aligned array that is long enough', async () => {
  const shared = new SharedArrayBuffer(1024);
  assert.is(await codeOf(() => addon.createVcpu(0, 0, new Uint8Array(1024))), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => addon.createVcpu(0, 0, new Uint8Array(shared, 0, 64))), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => addon.createVcpu(0, 0, new Uint8Array(shared, 1))), 'ERR_OUT_OF_RANGE');
});

test.run();
