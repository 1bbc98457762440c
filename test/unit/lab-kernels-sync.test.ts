// The lab's kernels between threads, in every pair of JavaScript and WebAssembly: no update is lost, no data is torn, no item is lost, doubled or out of order,
// and who waits for nobody is let go.

import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LAB_CONTROL, LAB_LAYOUT, LAB_OVER } from '../../shared/lab/control.ts';
import type { WasmMemory } from '../../shared/memory-layout.ts';
import { DATA, KINDS, type Kind, openKernels, openMemory, type TestedKernel } from '../lab-arena.ts';
import type { ThreadOrder } from '../lab-kernel-thread.ts';

const test = suite('lab kernels between threads');

const AT = DATA + 4096;
type Job = readonly [kind: Kind, kernel: TestedKernel, ...params: number[]];

/** Runs each job on a thread of its own, all at the same time; gives their results. */
async function together(memory: WasmMemory, jobs: readonly Job[]): Promise<(readonly bigint[])[]> {
  new Int32Array(memory.buffer, DATA, 1).fill(0);
  const script = new URL('../lab-kernel-thread.js', import.meta.url);
  const threads = jobs.map(([kind, kernel, ...params]) => {
    const workerData: ThreadOrder = { memory, kind, kernel, params, threads: jobs.length };
    return new Worker(script, { workerData });
  });
  const results = threads.map(
    thread =>
      new Promise<readonly bigint[]>((resolve, reject) => {
        thread.once('message', resolve);
        thread.once('error', reject);
        thread.once('exit', () => reject(new Error('the thread ended without results')));
      }),
  );
  try {
    return await Promise.all(results);
  } finally {
    // One that failed would leave the others waiting.
    await Promise.all(threads.map(thread => thread.terminate()));
  }
}

const PAIRS = KINDS.flatMap(first => KINDS.map(second => [first, second] as const));
const words = (memory: WasmMemory) => new Uint32Array(memory.buffer, AT, 1024);

/** Empty queue cells, as the coordinator lays them: sequence = position. */
function layCells(memory: WasmMemory, slots: number): void {
  const cells = words(memory).subarray(32);
  for (let slot = 0; slot < slots; slot++) cells[2 * slot] = slot;
}

for (const [first, second] of PAIRS) {
  const pair = `${first} and ${second}`;

  test(`${pair}: additions and compare-and-swap loops on one word lose nothing`, async () => {
    const memory = openMemory();
    const [added, swapped] = await together(memory, [
      [first, 'atomicAdd', AT, 200_000],
      [second, 'casAdd', AT, 100_000],
    ]);

    assert.is(words(memory)[0], 300_000);
    assert.equal(added, [200_000n, 0n, 0n]);
    assert.is(swapped?.[0], 100_000n);
  });

  test(`${pair}: a seqlock's reader sees whole data`, async () => {
    const memory = openMemory();
    const [written, read] = await together(memory, [
      [first, 'seqlockWrite', AT, 50_000],
      [second, 'seqlockRead', AT, 20_000],
    ]);

    assert.equal(written, [50_000n, 0n, 0n]);
    assert.equal(read?.slice(0, 2), [20_000n, 0n]);
    assert.equal([...words(memory).subarray(0, 8)], [100_000, ...Array<number>(7).fill(50_000)]);
  });

  test(`${pair}: a ticket lock lets in one at a time`, async () => {
    const memory = openMemory();
    const results = await together(memory, [
      [first, 'ticketLock', AT, 500],
      [second, 'ticketLock', AT, 500],
    ]);

    assert.equal(results, Array(2).fill([500n, 0n, 0n]));
    assert.equal([words(memory)[0], words(memory)[16], words(memory)[32]], [1000, 1000, 1000]);
  });

  test(`${pair}: a ring hands over all items in order, twice, whatever its counters were`, async () => {
    const memory = openMemory();
    words(memory)[0] = 0xffff_f000;
    words(memory)[16] = 0xffff_f000;
    for (let turn = 0; turn < 2; turn++) {
      const [sent, received] = await together(memory, [
        [first, 'spscPush', AT, 4000, 256],
        [second, 'spscPop', AT, 4000, 256],
      ]);

      assert.equal(sent, [4000n, 8_002_000n, 0n]);
      assert.equal(received, [4000n, 8_002_000n, 0n]);
    }
    const counter = (0xffff_f000 + 8000) % 2 ** 32;
    assert.equal([words(memory)[0], words(memory)[16]], [counter, counter]);
  });

  test(`${pair}: a queue of two senders and two receivers loses and doubles nothing`, async () => {
    const memory = openMemory();
    layCells(memory, 64);
    const results = await together(memory, [
      [first, 'mpmcPush', AT, 400, 64],
      [second, 'mpmcPush', AT, 600, 64],
      [first, 'mpmcPop', AT, 500, 64],
      [second, 'mpmcPop', AT, 500, 64],
    ]);
    const [pushed = 0n, pushedToo = 0n, popped = 0n, poppedToo = 0n] = results.map(result => result[1]);

    assert.equal(
      results.map(result => result[0]),
      [400n, 600n, 500n, 500n],
    );
    assert.is(pushed + pushedToo, 80_200n + 180_300n);
    assert.is(popped + poppedToo, pushed + pushedToo);
    assert.equal([words(memory)[0], words(memory)[16]], [1000, 1000]);
  });
}

test('a queue whose positions pass 2^32 goes on', async () => {
  for (const kind of KINDS) {
    const memory = openMemory();
    const run = await openKernels(kind, memory);
    const cells = words(memory).subarray(32);
    words(memory)[0] = 0xffff_fffc;
    words(memory)[16] = 0xffff_fffc;
    for (let slot = 0; slot < 8; slot++) cells[2 * slot] = slot < 4 ? slot : 0xffff_fff8 + slot;

    for (let turn = 0; turn < 5; turn++) {
      assert.equal(run('mpmcPush', AT, 3, 8), [3n, 6n, 0n], kind);
      assert.equal(run('mpmcPop', AT, 3, 8), [3n, 6n, 0n], kind);
    }
    assert.equal([words(memory)[0], words(memory)[16]], [11, 11]);
  }
});

test('who waits for others gives up when it is over, and says how far it came', async () => {
  for (const kind of KINDS) {
    const memory = openMemory();
    const run = await openKernels(kind, memory);
    new Int32Array(memory.buffer, LAB_LAYOUT.CONTROL)[LAB_CONTROL.EPOCH] = LAB_OVER;
    layCells(memory, 8);

    assert.equal(run('spscPop', AT, 5, 8), [0n, 0n, 0n], kind);
    assert.equal(run('mpmcPop', AT, 5, 8), [0n, 0n, 0n], kind);
    assert.equal(run('mpmcPush', AT, 20, 8), [8n, 36n, 0n], kind);
    words(memory).fill(0);
    assert.equal(run('spscPush', AT, 20, 8), [8n, 36n, 0n], kind);
    words(memory).fill(0);
    words(memory)[0] = 1;
    assert.equal(run('ticketLock', AT, 5), [0n, 0n, 0n], kind);
    words(memory)[0] = 1;
    assert.equal(run('seqlockRead', AT, 5), [0n, 0n, 1n], kind);
  }
});

test('a reader that finds the words of a written seqlock different calls it torn', async () => {
  for (const kind of KINDS) {
    const memory = openMemory();
    const run = await openKernels(kind, memory);
    for (let word = 1; word <= 7; word++) {
      words(memory).fill(0);
      words(memory)[word] = 1;
      assert.equal(run('seqlockRead', AT, 2), [0n, 2n, 0n], `${kind}, word ${word}`);
    }
  }
});

test('a receiver counts items that are not in order', async () => {
  for (const kind of KINDS) {
    const memory = openMemory();
    const run = await openKernels(kind, memory);
    words(memory).set([1, 2, 4, 3], 32);
    words(memory)[0] = 4;
    assert.equal(run('spscPop', AT, 4, 4), [4n, 10n, 2n], kind);
  }
});

test.run();
