// What memory can be made of: memfd, files (private and shared), WebAssembly, huge pages by advice, prefaulted pages.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvmMemory, u32le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('memory: backings');

const PAGE = 4096;
const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'node-kvm-'));
const file = join(folder, 'ram');
test.before(() => writeFileSync(file, Buffer.alloc(4 * PAGE, 'abcd')));
test.after(() => rmSync(folder, { recursive: true }));

const maps = () => readFileSync('/proc/self/maps', 'utf8');

test('memfd', () => {
  using memory = new KvmMemory(MIB, { backing: 'memfd' });
  memory.writeObj(0, u32le, 5);
  assert.is(memory.readObj(0, u32le), 5);
  assert.ok(maps().includes('memfd:node-kvm'));
});

test('a private file is read, and never written', () => {
  using memory = new KvmMemory(2 * PAGE, { backing: { file, offset: PAGE } });
  assert.is(Buffer.from(memory.view(0, 4)).toString(), 'abcd');
  memory.memset(0, 0x7a, 2 * PAGE);
  assert.is(
    readFileSync(file)
      .subarray(PAGE, PAGE + 4)
      .toString(),
    'abcd',
  );
});

test('a shared file gets what is written', () => {
  using memory = new KvmMemory(4 * PAGE, { backing: { file, shared: true } });
  memory.write(PAGE, Buffer.from('written'));
  assert.is(
    readFileSync(file)
      .subarray(PAGE, PAGE + 7)
      .toString(),
    'written',
  );
});

test('a file that is missing, too short or misplaced is refused', async () => {
  const open = (size: number, backing: object) => codeOf(() => new KvmMemory(size, { backing } as object));
  assert.is(await open(PAGE, { file: join(folder, 'none') }), 'ERR_SYSCALL');
  assert.is(await open(PAGE, { file: folder }), 'ERR_SYSCALL');
  assert.is(await open(5 * PAGE, { file }), 'ERR_MEMORY_RANGE');
  assert.is(await open(2 * PAGE, { file, offset: 3 * PAGE }), 'ERR_MEMORY_RANGE');
  assert.is(await open(PAGE, { file, offset: 100 }), 'ERR_MEMORY_ALIGNMENT');
});

test('a WebAssembly.Memory is the region, with the same bytes', async () => {
  using memory = new KvmMemory(MIB, { backing: 'wasm' });
  const [region] = memory.regions();
  assert.is(region?.wasm, memory.wasmMemory);
  assert.is(region?.buffer, memory.wasmMemory?.buffer);
  memory.writeObj(0x1000, u32le, 0x1234);
  assert.is(new Uint32Array(memory.wasmMemory?.buffer as SharedArrayBuffer)[0x400], 0x1234);
  assert.is(await codeOf(() => new KvmMemory(PAGE, { backing: 'wasm' })), 'ERR_MEMORY_ALIGNMENT');
  assert.is(await codeOf(() => new KvmMemory(4 * 2 ** 30, { backing: 'wasm' })), 'ERR_MEMORY_RANGE');
});

test('transparent huge pages, prefaulted on two threads', () => {
  const before = process.memoryUsage.rss();
  using memory = new KvmMemory(64 * MIB, { hugePages: 'thp', prefault: 2 });
  assert.ok(process.memoryUsage.rss() - before >= 60 * MIB);
  assert.is(memory.readObj(32 * MIB, u32le), 0);
});

test('reserved huge pages: a size that fits, or an error', async () => {
  assert.is(await codeOf(() => new KvmMemory(MIB, { hugePages: '2M' })), 'ERR_MEMORY_ALIGNMENT');
  const outcome = await codeOf(() => new KvmMemory(4 * MIB, { hugePages: '2M' })[Symbol.dispose]());
  const reserved = Number(/HugePages_Free:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0);
  assert.is(outcome, reserved >= 2 ? 'no error' : 'ERR_SYSCALL');
});

test('first contents of a region', () => {
  using memory = new KvmMemory(PAGE);
  memory.enableDirtyTracking();
  memory.addRegion(0x10_0000, 4 * PAGE, { contents: new Uint8Array(PAGE + 1).fill(6) });
  assert.equal([...memory.view(0x10_0000 + PAGE - 1, 4)], [6, 6, 0, 0]);
  assert.equal(memory.getDirtyPages(), [{ guestAddr: 0x10_0000, size: 2 * PAGE }]);
});

test.run();
