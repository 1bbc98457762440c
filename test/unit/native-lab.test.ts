// labRun by itself, a team of one on this thread: what leads out of the arena is refused, every kernel runs up to the arena's last byte, those that
// wait end when it is over.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { ActorWords, controlWords } from '../../shared/lab/actor-words.ts';
import { LAB_BLOCK, LAB_CONTROL, LAB_LAYOUT, LAB_OVER, LAB_RESULT } from '../../shared/lab/control.ts';
import { LAB_KERNELS, type LabKernel } from '../../shared/lab/kernels.ts';
import { codeOf } from '../errors.ts';

const test = suite('native lab');
const DATA_BYTES = 0x1_0000;
const END = LAB_LAYOUT.DATA + DATA_BYTES;
const ACTOR = 3;

/** The arena is the mapping as a whole: one byte too many is a fault, or shows in no test at all. */
const { buffer } = native().mapMemory({ size: END, kind: 'anonymous' });
const control = controlWords(buffer);
const block = new ActorWords(buffer, ACTOR);
const data = new Uint8Array(buffer, LAB_LAYOUT.DATA);

function run(kernel: number, params: readonly number[]): readonly bigint[] {
  control[LAB_CONTROL.EPOCH] = 0;
  control[LAB_CONTROL.ARRIVED] = 0;
  control[LAB_CONTROL.PARTICIPANTS] = 1;
  block.results.fill(0n, LAB_RESULT.START);
  block.words.fill(0);
  block.words.set(params, LAB_BLOCK.PARAMS);
  block.words[LAB_BLOCK.KERNEL] = kernel;
  native().labRun(buffer, ACTOR);
  return [...block.values.slice(0, 3)];
}

/** Parameters by which a kernel touches the arena's last bytes, and what it then says that it did. */
const AT_THE_END: [LabKernel, number[], number][] = [
  ['read', [END - 4096, 4096, 2], 1024],
  ['write', [END - 4096, 4096, 2, 1], 1024],
  ['copy', [END - 4096, 4096, 2, END - 8192], 1024],
  ['triad', [END - 4096, 4096, 2, END - 4096, END - 4096], 1024],
  ['strided', [END - 4096, 4096, 2, 24], 340],
  ['random', [END - 4096, 4096, 5000, 1, 128], 5000],
  ['chase', [END - 4, 1], 1],
  ['atomicAdd', [END - 4, 10], 10],
  ['casAdd', [END - 4, 10], 10],
  ['increment', [END - 4, 10], 10],
  ['seqlockWrite', [END - 32, 10], 10],
  ['seqlockRead', [END - 32, 10], 10],
  ['ticketLock', [END - 132, 10], 10],
  ['spscPush', [END - 128 - 64, 10, 16], 10],
  ['spscPop', [END - 128 - 64, 10, 16], 10],
  ['mpmcPush', [END - 128 - 128, 10, 16], 10],
  ['mpmcPop', [END - 128 - 128, 10, 16], 10],
  ['dirty', [END - 8192, 2, 3, 1], 6],
];

/** Free cells of a queue of 16 at the end. */
function layQueue(): void {
  const cells = new Uint32Array(buffer, END - 128, 32);
  for (let i = 0; i < 16; i++) cells[2 * i] = i;
}

test('every kernel goes up to the last byte', () => {
  for (const [kernel, params, operations] of AT_THE_END) {
    // What a queue's other end has pushed stays.
    if (!kernel.endsWith('Pop')) data.fill(0);
    if (kernel === 'mpmcPush') layQueue();
    const [done] = run(LAB_KERNELS[kernel], params);
    assert.is(done, BigInt(operations), kernel);
    assert.ok((block.results[LAB_RESULT.END] ?? 0n) >= (block.results[LAB_RESULT.START] ?? 0n), kernel);
    assert.ok((block.results[LAB_RESULT.START] ?? 0n) > 0n, kernel);
  }
});

test('and not a byte further: nothing runs, nothing is written', async () => {
  data.fill(7);
  for (const [kernel, params] of AT_THE_END) {
    const [at = 0, ...rest] = params;
    for (const bad of [at + 8, at + 1, 0xffff_fff8, END])
      assert.is(await codeOf(() => run(LAB_KERNELS[kernel], [bad, ...rest])), 'ERR_OUT_OF_RANGE', `${kernel} ${bad}`);
    assert.is(control[LAB_CONTROL.ARRIVED], 0, kernel);
  }
  assert.ok(data.every(byte => byte === 7));
});

test('sizes that would wrap, sources that lie outside, numbers that divide or mask', async () => {
  const at = LAB_LAYOUT.DATA;
  for (const [kernel, params] of [
    ['read', [at, 0xffff_fff8, 1]],
    ['copy', [at, 4096, 1, END - 4088]],
    ['triad', [at, 4096, 1, at, END - 4088]],
    ['triad', [at, 4096, 1, END - 4088, at]],
    ['strided', [at, 4096, 1, 0]],
    ['strided', [at, 4096, 1, 12]],
    ['random', [at, 4095, 1, 1, 0]],
    ['random', [at, 0, 1, 1, 0]],
    ['spscPush', [at, 1, 0]],
    ['mpmcPop', [at, 1, 3]],
    ['spscPop', [at, 1, 0x8000_0000]],
    ['dirty', [at, 0xffff_ffff, 1, 1]],
    ['dirty', [at, 1, 1, 0]],
  ] as const) {
    assert.is(await codeOf(() => run(LAB_KERNELS[kernel], params)), 'ERR_OUT_OF_RANGE', `${kernel} ${params}`);
  }
  for (const unknown of [0, 19, 0xffff_ffff]) assert.is(await codeOf(() => run(unknown, [])), 'ERR_OUT_OF_RANGE');
});

test('a chain that leads out of the arena ends there', () => {
  data.fill(0);
  new Uint32Array(buffer, LAB_LAYOUT.DATA, 1)[0] = END - 2;
  const [steps, last] = run(LAB_KERNELS.chase, [LAB_LAYOUT.DATA, 1000]);
  assert.equal([steps, last], [1n, BigInt(END - 2)]);
});

test('kernels that wait for nobody any more give up', () => {
  for (const kernel of ['spscPop', 'mpmcPop', 'ticketLock', 'seqlockRead'] as const) {
    data.fill(0);
    // An odd sequence, a ticket that is never served, an empty queue.
    const words = new Uint32Array(buffer, LAB_LAYOUT.DATA, 32);
    words[0] = kernel.endsWith('Pop') ? 0 : 1;
    control[LAB_CONTROL.PARTICIPANTS] = 1;
    control[LAB_CONTROL.ARRIVED] = 0;
    block.words[LAB_BLOCK.KERNEL] = LAB_KERNELS[kernel];
    block.words.set([LAB_LAYOUT.DATA, 5, 16], LAB_BLOCK.PARAMS);
    block.values.fill(9n);
    // The barrier is open at once: only the kernel itself can see that it is over.
    control[LAB_CONTROL.EPOCH] = LAB_OVER;
    native().labRun(buffer, ACTOR);
    assert.is(block.values[0], 0n, kernel);
  }
});

test('a barrier that nobody else comes to is left when it is over', () => {
  control[LAB_CONTROL.PARTICIPANTS] = 2;
  control[LAB_CONTROL.ARRIVED] = 0;
  control[LAB_CONTROL.EPOCH] = LAB_OVER;
  block.words[LAB_BLOCK.KERNEL] = LAB_KERNELS.increment;
  block.words.set([LAB_LAYOUT.DATA, 5], LAB_BLOCK.PARAMS);
  block.values.fill(9n);
  native().labRun(buffer, ACTOR);
  assert.is(block.values[0], 9n);
});

test('arguments', async () => {
  const small = native().mapMemory({ size: LAB_LAYOUT.DATA - 4096, kind: 'anonymous' }).buffer;
  assert.is(await codeOf(() => native().labRun(small, 0)), 'ERR_BUFFER_TOO_SMALL');
  assert.is(await codeOf(() => native().labRun(buffer, 32)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => native().labRun(buffer, -1)), 'ERR_OUT_OF_RANGE');
  const plain = new ArrayBuffer(END) as unknown as SharedArrayBuffer;
  assert.is(await codeOf(() => native().labRun(plain, 0)), 'ERR_INVALID_ARG_TYPE');
});

test.run();
