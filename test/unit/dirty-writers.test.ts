// Attribution: which thread wrote a page through the API, as far as anybody can say.

import { Worker } from 'node:worker_threads';
import { KvmMemory, program, u8, VirtualMachine } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HEADER_WORDS } from '../../shared/memory-layout.ts';
import { takeWriterNumber, writerOf } from '../../shared/writer-numbers.ts';

const test = suite('dirty: writers');

const PAGE = 4096;

/** Runs `body` with `memory` on a thread of its own; resolves with the thread's id. */
async function onThread(memory: KvmMemory, body: string): Promise<number> {
  const code = `
    const { workerData } = require('node:worker_threads');
    import('node-kvm').then(({ KvmMemory, u8 }) => { const memory = KvmMemory.attach(workerData); ${body} });
  `;
  const worker = new Worker(code, { eval: true, workerData: memory.handle });
  const { threadId } = worker;
  const exitCode = await new Promise(resolve => worker.on('exit', resolve));
  assert.is(exitCode, 0);
  return threadId;
}

test('every thread is named, page by page and in sum', async () => {
  using memory = new KvmMemory(100 * PAGE);
  memory.enableDirtyTracking({ attribution: true });
  memory.memset(0, 1, 3 * PAGE);
  memory.atomics.add(50 * PAGE, u8, 1);
  const other = await onThread(
    memory,
    'memory.write(10 * 4096, new Uint8Array(2 * 4096)); memory.memset(20 * 4096, 1, 5000);',
  );
  const third = await onThread(memory, 'memory.writeObj(99 * 4096, u8, 1);');
  using harvest = memory.harvest();
  const thread = (threadId: number) => ({ kind: 'thread', threadId });
  assert.equal(harvest.writers(), [
    { writer: thread(0), pages: 4 },
    { writer: thread(other), pages: 4 },
    { writer: thread(third), pages: 1 },
  ]);
  assert.equal(harvest.writerAt(2 * PAGE + 5), thread(0));
  assert.equal(harvest.writerAt(21 * PAGE), thread(other));
  assert.equal(harvest.writerAt(BigInt(99 * PAGE)), thread(third));
  assert.equal(harvest.writerAt(60 * PAGE), { kind: 'unknown' }, 'a clean page');
});

test('the last writer of a page is the one that is named', async () => {
  using memory = new KvmMemory(4 * PAGE);
  memory.enableDirtyTracking({ attribution: true });
  memory.writeObj(0, u8, 1);
  const other = await onThread(memory, 'memory.writeObj(0, u8, 2);');
  using harvest = memory.harvest();
  assert.equal(harvest.writers(), [{ writer: { kind: 'thread', threadId: other }, pages: 1 }]);
});

test('without attribution nobody is', () => {
  using memory = new KvmMemory(4 * PAGE);
  memory.enableDirtyTracking();
  memory.memset(0, 1, 3 * PAGE);
  using harvest = memory.harvest();
  assert.equal(harvest.writers(), [{ writer: { kind: 'unknown' }, pages: 3 }]);
  assert.equal(harvest.writerAt(0), { kind: 'unknown' });
});

test('it can be turned on while tracking, and covers regions that come later', () => {
  using memory = new KvmMemory(4 * PAGE);
  memory.enableDirtyTracking();
  memory.enableDirtyTracking({ attribution: true });
  memory.addRegion(10 * PAGE, 2 * PAGE);
  memory.writeObj(0, u8, 1);
  memory.writeObj(11 * PAGE, u8, 1);
  using harvest = memory.harvest();
  assert.equal(harvest.writers(), [{ writer: { kind: 'thread', threadId: 0 }, pages: 2 }]);
});

test('pages that only their huge page makes dirty are nobody’s', () => {
  using memory = new KvmMemory(8 << 20, { hugePages: 'thp' });
  memory.enableDirtyTracking({ attribution: true, granularity: 'huge' });
  memory.writeObj(4 << 20, u8, 1);
  using harvest = memory.harvest();
  const [most, least] = harvest.writers();
  assert.equal(most?.writer, { kind: 'unknown' });
  assert.equal(least, { writer: { kind: 'thread', threadId: 0 }, pages: 1 });
  assert.is(harvest.pageCount, (most?.pages ?? 0) + 1);
});

test('a program of the host engine writes as its vCPU', async () => {
  await using vm = await VirtualMachine.create({
    memory: 100 * PAGE,
    vcpus: 2,
    engine: 'host',
    dirtyTracking: false,
  });
  const source = `export function run(context) { context.memory.memset((10 + 10 * context.vcpu) * 4096, 1, (1 + context.vcpu) * 4096); }`;
  await vm.load(program(new URL(`data:text/javascript,${encodeURIComponent(source)}`)));
  vm.memory.enableDirtyTracking({ attribution: true });
  await vm.start();
  await vm.finished;
  using harvest = vm.memory.harvest();
  assert.equal(harvest.writers(), [
    { writer: { kind: 'vcpu', index: 1 }, pages: 2 },
    { writer: { kind: 'vcpu', index: 0 }, pages: 1 },
  ]);
});

test('numbers: the same for who comes again, the last one for all that come too late', () => {
  const header = new Int32Array(HEADER_WORDS);
  const numbers = Array.from({ length: 300 }, (_none, threadId) => takeWriterNumber(header, { threadId }));
  assert.equal(
    numbers.slice(0, 254),
    Array.from({ length: 254 }, (_none, index) => index + 1),
  );
  assert.ok(numbers.slice(254).every(number => number === 255));
  assert.is(takeWriterNumber(header, { threadId: 7 }), 8);
  assert.equal(writerOf(header, 8), { kind: 'thread', threadId: 7 });
  assert.equal(writerOf(header, 255), { kind: 'thread', threadId: undefined });

  const other = new Int32Array(HEADER_WORDS);
  assert.is(takeWriterNumber(other, { threadId: 0 }), 1);
  assert.is(takeWriterNumber(other, { vcpu: 0 }), 2);
  assert.is(takeWriterNumber(other, { vcpu: 3 }), 3);
  assert.is(takeWriterNumber(other, { vcpu: 0 }), 2);
  assert.equal(writerOf(other, 3), { kind: 'vcpu', index: 3 });
  assert.equal(writerOf(other, 0x8000 | 5), { kind: 'vcpu', index: 5 });
  assert.equal(writerOf(other, 0x4000), { kind: 'guest' });
  assert.equal(writerOf(other, 0), { kind: 'unknown' });
});

test.run();
