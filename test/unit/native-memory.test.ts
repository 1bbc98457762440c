// The addon's memory functions do what they say: mapping, filling, copying, prefaulting, marks. Without KVM.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { HypervisorError } from '../../shared/errors.ts';
import { codeOf } from '../errors.ts';

const test = suite('native memory');
const addon = native();
const PAGE = addon.pageSize;
/** As far as this file uses it: the types of Node 20 have no WebAssembly without the DOM's. */
interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
  grow(pages: number): number;
}
type WasmMemoryClass = new (descriptor: { initial: number; maximum: number; shared: true }) => WasmMemory;
const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: { readonly Memory: WasmMemoryClass } };
const MIB2 = 2 * 1024 * 1024;

test('memory of 2 MiB or more starts where huge pages can', () => {
  for (const kind of ['anonymous', 'memfd'] as const) {
    const { buffer, hostAddr } = addon.mapMemory({ size: MIB2 + PAGE, kind });

    assert.is(buffer.byteLength, MIB2 + PAGE);
    assert.is(hostAddr % BigInt(MIB2), 0n);
    assert.is(addon.addressOf(buffer), hostAddr);
  }
});

test('a mapping is named in /proc/self/maps', () => {
  const { hostAddr } = addon.mapMemory({ size: PAGE, kind: 'memfd', name: 'native-memory-test' });

  const line = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .find(entry => entry.startsWith(hostAddr.toString(16)));
  assert.match(line ?? '', 'memfd:native-memory-test');
});

test('64 GiB are mapped at once, more than a typed array of Node 20 can hold', () => {
  const size = 64 * 1024 ** 3;
  const { buffer } = addon.mapMemory({ size, kind: 'anonymous' });
  const last = new DataView(buffer, size - 8);

  addon.fill(last, 7, 1, 0xab);

  assert.is(last.getUint8(7), 0xab);
  assert.is(buffer.byteLength, size);
});

test('a file: shared writes through, private does not, too short is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'node-kvm-'));
  try {
    const path = join(folder, 'memory');
    writeFileSync(path, Buffer.alloc(2 * PAGE, 'f'));
    const copy = new Uint8Array(addon.mapMemory({ size: PAGE, kind: 'file', path, fileOffset: PAGE }).buffer);
    const through = new Uint8Array(addon.mapMemory({ size: PAGE, kind: 'file', path, shared: true }).buffer);

    copy[0] = 1;
    through[0] = 2;

    const content = readFileSync(path);
    assert.is(content[PAGE], 'f'.charCodeAt(0));
    assert.is(content[0], 2);
    assert.is(await codeOf(() => addon.mapMemory({ size: 3 * PAGE, kind: 'file', path })), 'ERR_SYSCALL');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('fill writes exactly its range', () => {
  const bytes = new Uint8Array(addon.mapMemory({ size: PAGE, kind: 'anonymous' }).buffer);

  addon.fill(bytes, 3, 5, 0xee);
  addon.fill(bytes, 20, 0, 0xee);

  assert.equal(
    [...bytes.subarray(0, 24)].map(byte => byte >> 4),
    [...[0, 0, 0, 14, 14, 14, 14, 14], ...new Array<number>(16).fill(0)],
  );
});

test('copy moves overlapping ranges, between shared and plain views', () => {
  const shared = new Uint8Array(addon.mapMemory({ size: PAGE, kind: 'anonymous' }).buffer);
  shared.set([1, 2, 3, 4, 5, 6]);
  const plain = new Uint8Array(4);

  addon.copy(shared, 2, shared, 0, 6);
  addon.copy(plain, 0, new DataView(shared.buffer, 1), 0, 4);

  assert.equal([...shared.subarray(0, 8)], [1, 2, 1, 2, 3, 4, 5, 6]);
  assert.equal([...plain], [2, 1, 2, 3]);
});

test('prefault keeps what is there', () => {
  const { buffer } = addon.mapMemory({ size: 2 * MIB2, kind: 'memfd' });
  const bytes = new Uint8Array(buffer);
  bytes[MIB2] = 9;

  addon.prefault(buffer, 0, 2 * MIB2, 4);

  assert.is(bytes[MIB2], 9);
  assert.is(bytes[0], 0);
});

for (const [kind, shared] of [
  ['anonymous', false],
  ['memfd', true],
] as const) {
  test(`discarded pages read as zeroes, their neighbours stay: ${kind}`, async () => {
    const { buffer } = addon.mapMemory({ size: 4 * PAGE, kind });
    const bytes = new Uint8Array(buffer).fill(9);

    addon.discard(buffer, PAGE, 2 * PAGE, shared);
    addon.discard(buffer, 0, 0, shared);

    assert.equal(
      [0, 1, 2, 3].map(page => bytes[page * PAGE]),
      [9, 0, 0, 9],
    );
    assert.is(await codeOf(() => addon.discard(buffer, 1, PAGE, shared)), 'ERR_OUT_OF_RANGE');
    assert.is(await codeOf(() => addon.discard(buffer, PAGE, 1, shared)), 'ERR_OUT_OF_RANGE');
    assert.is(await codeOf(() => addon.discard(buffer, 4 * PAGE, PAGE, shared)), 'ERR_OUT_OF_RANGE');
  });
}

test('external memory is the same memory', () => {
  const { buffer, hostAddr } = addon.mapMemory({ size: 2 * PAGE, kind: 'anonymous' });

  const other = addon.wrapExternal(hostAddr + BigInt(PAGE), PAGE, true);
  new Uint8Array(other)[0] = 77;

  assert.is(new Uint8Array(buffer)[PAGE], 77);
});

test("a shared WebAssembly.Memory's address is its buffer's", () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 4, shared: true });
  const address = addon.addressOf(memory.buffer);
  memory.grow(1);

  assert.is(address % BigInt(PAGE), 0n);
  assert.is(addon.addressOf(memory.buffer), address);
});

test('marks are taken once, and only those asked for', () => {
  const marks = new Uint8Array(new SharedArrayBuffer(100));
  for (const page of [3, 11, 89, 90, 99]) marks[page] = page;
  const summary = new Uint8Array(new SharedArrayBuffer(1)).fill(1);
  const into = new Uint8Array(12);
  into[0] = 0x80;
  const writers = new Uint16Array(100);

  const found = addon.takeMarks(marks, summary, 90, into, writers);

  assert.is(found, 3);
  const expected = new Uint8Array(12);
  for (const bit of [3, 7, 11, 89]) expected[bit >> 3] = (expected[bit >> 3] ?? 0) | (1 << (bit & 7));
  assert.equal(into, expected);
  assert.equal([writers[3], writers[7], writers[11], writers[89], writers[90]], [3, 0, 11, 89, 0]);
  assert.equal([marks[3], marks[11], marks[89], marks[90], marks[99]], [0, 0, 0, 90, 99]);
  assert.is(addon.takeMarks(marks, summary, 100, new Uint8Array(13), null), 0);
});

test('marks are looked at where the summary says so', () => {
  const pages = 3 * 4096 + 5;
  const marks = new Uint8Array(new SharedArrayBuffer(pages)).fill(1);
  const summary = new Uint8Array(new SharedArrayBuffer(4));
  summary[1] = 9;
  summary[3] = 1;
  const into = new Uint8Array(Math.ceil(pages / 8));

  assert.is(addon.takeMarks(marks, summary, pages, into, null), 4096 + 5);

  assert.equal([...summary], [0, 0, 0, 0]);
  assert.is(addon.countBits(into, 4096, 4096), 4096);
  assert.is(addon.countBits(into, 0, pages), 4096 + 5);
});

test('a failed system call is a HypervisorError with errno and syscall', () => {
  try {
    addon.mapMemory({ size: PAGE, kind: 'file', path: '/nonexistent/file' });
    assert.unreachable();
  } catch (error) {
    assert.instance(error, HypervisorError);
    const { code, errno, syscall, message } = error as HypervisorError;
    assert.equal({ code, errno, syscall }, { code: 'ERR_SYSCALL', errno: 2, syscall: 'open' });
    assert.match(message, 'open: ENOENT (2), No such file or directory');
  }
});

test('the clock is monotonic, the thread has an id and CPUs', () => {
  const before = addon.monotonicNs();

  assert.ok(addon.monotonicNs() >= before);
  assert.is(addon.threadId(), process.pid);
  assert.ok(addon.getAffinity().length > 0);
  assert.is(addon.kick(addon.threadId()), true);
});

test.run();
