// Source 'pagemap': every write of this process is reported, whoever makes it, and no other page is.

import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { KvmMemory, u32le } from 'node-kvm';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { dirtyPages, dirtyRanges, PAGE, sourceSuite } from '../dirty-pages.ts';

const test = sourceSuite('pagemap', 'dirty: pagemap');

const folder = mkdtempSync(join(tmpdir(), 'node-kvm-'));
test.after(() => rmSync(folder, { recursive: true }));

/** 131 pages, no multiple of 64, tracked. */
function tracked(): KvmMemory {
  const memory = new KvmMemory(131 * PAGE);
  memory.enableDirtyTracking({ source: 'pagemap' });
  return memory;
}

test('nothing is dirty that nobody wrote, and reading makes nothing dirty', () => {
  using memory = tracked();
  assert.is(memory.dirtySource, 'pagemap');
  memory.dumpAll(new Uint8Array(131 * PAGE));
  assert.equal(dirtyRanges(memory), []);
});

test('raw stores: the first page, the last, both sides of a word of the bitmap, a store across two pages', () => {
  using memory = tracked();
  const raw = memory.view(0, 131 * PAGE);
  for (const page of [0, 63, 64, 130]) raw[page * PAGE] = 1;
  new DataView(raw.buffer, raw.byteOffset).setUint32(101 * PAGE - 2, 0xffff_ffff);
  assert.equal(dirtyPages(memory), [0, 63, 64, 100, 101, 130]);
  assert.equal(dirtyPages(memory), []);
  raw[64 * PAGE + 1] = 1;
  assert.equal(dirtyPages(memory), [64]);
});

test('writes through the API and native code', () => {
  using memory = tracked();
  memory.writeObj(3 * PAGE, u32le, 1);
  memory.memset(5 * PAGE + 1, 7, 2 * PAGE);
  memory.write(20 * PAGE, new Uint8Array(64 * 1024));
  native().fill(memory.view(90 * PAGE, PAGE), 0, PAGE, 1);
  assert.equal(dirtyRanges(memory), [
    [3, 1],
    [5, 3],
    [20, 16],
    [90, 1],
  ]);
});

test('a system call that writes into guest RAM', () => {
  const file = join(folder, 'data');
  writeFileSync(file, Buffer.alloc(3 * PAGE, 'x'));
  using memory = tracked();
  const descriptor = openSync(file, 'r');
  assert.is(readSync(descriptor, memory.view(70 * PAGE + 8, 2 * PAGE)), 2 * PAGE);
  closeSync(descriptor);
  assert.equal(dirtyRanges(memory), [[70, 3]]);
});

test('another thread, through a raw view and through the API', async () => {
  using memory = tracked();
  const [base] = memory.regions();
  const program = `
    const { workerData } = require('node:worker_threads');
    new Uint8Array(workerData.buffer)[40 * 4096] = 1;
    import('node-kvm').then(({ KvmMemory, u8 }) => {
      const memory = KvmMemory.attach(workerData.handle);
      memory.writeObj(50 * 4096, u8, 1);
      memory[Symbol.dispose]();
    });`;
  const worker = new Worker(program, { eval: true, workerData: { buffer: base?.buffer, handle: memory.handle } });
  await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
  assert.equal(dirtyPages(memory), [40, 50]);
});

test('an aborted harvest keeps every page', () => {
  using memory = tracked();
  memory.view(9 * PAGE, 1)[0] = 1;
  const harvest = memory.harvest();
  assert.is(harvest.pageCount, 1);
  memory.view(11 * PAGE, 1)[0] = 1;
  harvest.abort();
  assert.equal(dirtyPages(memory), [9, 11]);
});

test('off and on: what was recorded is kept, raw stores in between are not', () => {
  using memory = tracked();
  const raw = memory.view(0, 131 * PAGE);
  raw[4 * PAGE] = 1;
  memory.disableDirtyTracking();
  raw[6 * PAGE] = 1;
  memory.enableDirtyTracking({ source: 'pagemap' });
  raw[8 * PAGE] = 1;
  assert.equal(dirtyPages(memory), [4, 8]);
});

test('regions added and removed while tracking', () => {
  using memory = tracked();
  memory.addRegion(200 * PAGE, 3 * PAGE);
  memory.addRegion(300 * PAGE, 3 * PAGE, { contents: Uint8Array.of(1) });
  memory.view(202 * PAGE, 1)[0] = 1;
  memory.view(301 * PAGE, 1)[0] = 1;
  assert.equal(dirtyPages(memory), [202, 300, 301]);
  memory.view(200 * PAGE, 1)[0] = 1;
  memory.view(300 * PAGE, 1)[0] = 1;
  memory.removeRegion(200 * PAGE);
  assert.equal(dirtyPages(memory), [300]);
});

test('a region that is split, joined and mapped twice', () => {
  using memory = tracked();
  memory.addExternalRegion(200 * PAGE, memory.hostAddress() + BigInt(60 * PAGE), 8 * PAGE, false);
  const raw = memory.view(0, 131 * PAGE);
  raw[64 * PAGE] = 1;
  memory.setReadOnly(65 * PAGE, PAGE, true);
  raw[65 * PAGE] = 1;
  memory.setReadOnly(65 * PAGE, PAGE, false);
  assert.equal(dirtyRanges(memory), [
    [64, 2],
    [204, 2],
  ]);
});

test('a hundred rounds of seeded pages against a model', () => {
  using memory = tracked();
  const raw = memory.view(0, 131 * PAGE);
  let state = 12345;
  const random = (limit: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % limit;
  };
  for (let round = 0; round < 100; round++) {
    const expected = new Set<number>();
    for (let count = random(20); count > 0; count--) expected.add(random(131));
    for (const page of expected) raw[page * PAGE + random(PAGE)] = round;
    assert.equal(
      dirtyPages(memory),
      [...expected].sort((a, b) => a - b),
    );
  }
});

test.run();
