// Atomics by guest address: each operation on each width, against the arithmetic it stands for; waiting and waking.

import { Worker } from 'node:worker_threads';
import * as layouts from 'node-kvm';
import { f64le, i32le, i64le, KvmMemory, type Layout, struct, u8, u16le, u32be, u32le, u64le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('memory: atomics');

const named = layouts as unknown as Record<string, Layout<number | bigint>>;

test('every operation, every width, signed and unsigned', () => {
  using memory = new KvmMemory(4096);
  const { atomics } = memory;
  for (const bits of [8, 16, 32, 64]) {
    for (const sign of ['u', 'i']) {
      const layout = named[`${sign}${bits}${bits === 8 ? '' : 'le'}`] as Layout<number | bigint>;
      const wrap = (value: bigint) => {
        const wide = sign === 'u' ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value);
        return bits === 64 ? wide : Number(wide);
      };
      const n = (value: number) => (bits === 64 ? BigInt(value) : value);
      const operations = [
        ['add', (a: bigint, b: bigint) => a + b],
        ['sub', (a: bigint, b: bigint) => a - b],
        ['and', (a: bigint, b: bigint) => a & b],
        ['or', (a: bigint, b: bigint) => a | b],
        ['xor', (a: bigint, b: bigint) => a ^ b],
        ['exchange', (_a: bigint, b: bigint) => b],
      ] as const;
      for (const [name, model] of operations) {
        for (const [a, b] of [
          [100, 27],
          [5, 9],
          [127, 127],
        ] as const) {
          atomics.store(64, layout, n(a));
          assert.is(atomics[name](64, layout, n(b)), n(a), `${layout.name} ${name}`);
          assert.is(atomics.load(64, layout), wrap(model(BigInt(a), BigInt(b))));
        }
      }
      assert.is(atomics.compareExchange(64, layout, n(1), n(2)), n(127));
      assert.is(atomics.load(64, layout), n(127));
      assert.is(atomics.compareExchange(64, layout, n(127), n(2)), n(127));
      assert.is(atomics.load(64, layout), n(2));
      assert.is(memory.readObj(64 + layout.size, u8), 0, 'nothing beside it was touched');
      atomics.store(64, layout, n(0));
    }
  }
});

test('misaligned, big-endian, floating and compound layouts are refused', async () => {
  using memory = new KvmMemory(4096);
  assert.is(await codeOf(() => memory.atomics.load(1, u16le)), 'ERR_MEMORY_ALIGNMENT');
  assert.is(await codeOf(() => memory.atomics.add(4, u64le, 1)), 'ERR_MEMORY_ALIGNMENT');
  assert.is(await codeOf(() => memory.atomics.load(0, u32be)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => memory.atomics.load(0, f64le)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => memory.atomics.load(0, struct({ a: u32le }) as never)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => memory.atomics.load(0, undefined as never)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => memory.atomics.store(0, u8, 256)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => memory.atomics.load(4096, u8)), 'ERR_MEMORY_UNMAPPED');
  assert.is(await codeOf(() => memory.atomics.wait(0, u16le, 0, 0)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => memory.atomics.wait(0, u32le, 0, -1)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => memory.atomics.notify(0, u32le, -1)), 'ERR_OUT_OF_RANGE');
});

test('what stores is marked, what only looks is not', () => {
  using memory = new KvmMemory(8 * 4096);
  memory.enableDirtyTracking({ source: 'host' });
  memory.atomics.load(0, u32le);
  memory.atomics.compareExchange(0x1000, u32le, 5, 6);
  memory.atomics.add(0x2000, u32le, 0);
  memory.atomics.compareExchange(0x4000, u64le, 0, 6);
  assert.equal(memory.getDirtyPages(), [
    { guestAddr: 0x2000, size: 4096 },
    { guestAddr: 0x4000, size: 4096 },
  ]);
});

test('wait answers at once when the word differs, and ends in time', async () => {
  using memory = new KvmMemory(4096);
  memory.writeObj(8, u32le, 0xffff_ffff);
  memory.writeObj(16, u64le, 0xffff_ffff_ffff_ffffn);
  assert.is(memory.atomics.wait(8, u32le, 0), 'not-equal');
  assert.is(memory.atomics.wait(8, u32le, 0xffff_ffff, 1), 'timed-out');
  assert.is(memory.atomics.wait(8, i32le, -1, 1), 'timed-out');
  assert.is(memory.atomics.wait(16, u64le, 0xffff_ffff_ffff_ffffn, 1), 'timed-out');
  assert.is(memory.atomics.wait(16, i64le, 0, 1), 'not-equal');
  assert.equal(memory.atomics.waitAsync(8, u32le, 1), { async: false, value: 'not-equal' });
});

test('threads count to the exact sum, and wake each other', async () => {
  using memory = new KvmMemory(4096);
  const program = `
    const { workerData } = require('node:worker_threads');
    import('node-kvm').then(({ KvmMemory, u64le, u32le }) => {
      const memory = KvmMemory.attach(workerData);
      for (let i = 0; i < 20000; i++) memory.atomics.add(64, u64le, 3n);
      memory.atomics.add(128, u32le, 1);
      memory.atomics.notify(128, u32le);
    });`;
  const { handle } = memory;
  const workers = [0, 1].map(() => new Worker(program, { eval: true, workerData: handle }));
  const ended = workers.map(worker => new Promise(resolve => worker.on('exit', resolve)));
  for (let seen = 0; seen < 2; seen = memory.atomics.load(128, u32le)) {
    const wait = memory.atomics.waitAsync(128, u32le, seen, 10_000);
    if (wait.async) assert.is.not(await wait.value, 'timed-out');
  }
  assert.is(memory.atomics.load(64, u64le), 120_000n);
  await Promise.all(ended);
});

test.run();
