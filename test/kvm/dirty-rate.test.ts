// dirtyRate: against a guest whose working set is known; whose pages they are, as far as can be known; without disturbing other consumers.

import * as assert from 'uvu/assert';
import { AREA, AREA_PAGES, startDirtying } from '../dirtying-guest.ts';
import { codeOf } from '../errors.ts';
import { kvmSuite } from '../harness.ts';
import { slowness } from '../slowness.ts';
import { startSpinning } from '../spinning-guest.ts';

const test = kvmSuite('dirty rate');

/** Pages beside its area that a guest dirties at most: page tables, by the processor. */
const ELSEWHERE = 128;
const windowMs = 500 * slowness;

test('one vCPU: all of the rate is its, the working set is its area', async () => {
  await using vm = await startDirtying();
  const rate = await vm.dirtyRate({ windowMs });

  const pages = Math.round((rate.pagesPerSecond * rate.windowMs) / 1000);
  assert.ok(rate.workingSetPages > 0 && rate.workingSetPages <= AREA_PAGES + ELSEWHERE, `${rate.workingSetPages}`);
  assert.ok(pages >= rate.workingSetPages, `${pages} pages, ${rate.workingSetPages} distinct ones`);
  assert.ok(rate.windowMs >= windowMs);
  assert.is(rate.source, vm.memory.dirtySource);
  assert.equal(rate.vcpus, [{ index: 0, pagesPerSecond: rate.pagesPerSecond, known: 'only-vcpu' }]);
});

test('two vCPUs: unknown each, unless they are sampled', async () => {
  await using vm = await startDirtying({ vcpus: 2 });
  const plain = await vm.dirtyRate({ windowMs });
  const sampled = await vm.dirtyRate({ windowMs, sample: true });

  assert.ok(plain.workingSetPages <= 2 * AREA_PAGES + ELSEWHERE, `${plain.workingSetPages}`);
  assert.equal(plain.vcpus, [
    { index: 0, pagesPerSecond: undefined, known: undefined },
    { index: 1, pagesPerSecond: undefined, known: undefined },
  ]);
  for (const { known, pagesPerSecond } of sampled.vcpus) {
    assert.is(known, 'sample');
    assert.ok((pagesPerSecond ?? 0) > 0);
  }
  assert.is(vm.state, 'running');
});

test('what was dirty before is not counted, and is still there for others', async () => {
  await using vm = await startSpinning({ vcpus: 1, memory: 64 << 20, dirtyTracking: true });
  vm.memory.getDirtyPages();
  vm.memory.memset(AREA, 1, 1 << 20);
  const rate = await vm.dirtyRate({ windowMs: 50 });
  const ranges = vm.memory.getDirtyPages();

  assert.ok(rate.workingSetPages < 16, `${rate.workingSetPages} pages`);
  assert.ok(ranges.some(({ guestAddr, size }) => guestAddr === AREA && size === 1 << 20));
});

test('a signal ends it, a paused VM cannot be sampled, and wrong options are refused', async () => {
  await using vm = await startSpinning({ vcpus: 2, dirtyTracking: true });
  const controller = new AbortController();
  const pending = codeOf(vm.dirtyRate({ windowMs: 600_000, signal: controller.signal }));
  controller.abort();

  assert.is(await pending, 'ERR_ABORTED');
  assert.is(await codeOf(vm.dirtyRate({ windowMs: 1 })), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(vm.dirtyRate({ windows: 1 } as object)), 'ERR_UNKNOWN_OPTION');
  await vm.pause();
  assert.is(await codeOf(vm.dirtyRate({ windowMs: 20, sample: true })), 'ERR_STATE');
  vm.memory.disableDirtyTracking();
  assert.is(await codeOf(vm.dirtyRate()), 'ERR_DIRTY_TRACKING_OFF');
});

test('disposing of the VM ends a measurement at once', async () => {
  const vm = await startSpinning({ vcpus: 1, dirtyTracking: true });
  const plain = codeOf(vm.dirtyRate({ windowMs: 600_000 }));
  const sampled = codeOf(vm.dirtyRate({ windowMs: 600_000, sample: true }));
  await vm[Symbol.asyncDispose]();

  assert.is(await plain, 'ERR_DISPOSED');
  assert.is(await sampled, 'ERR_DISPOSED');
  assert.is(await codeOf(vm.dirtyRate()), 'ERR_DISPOSED');
});

test.run();
