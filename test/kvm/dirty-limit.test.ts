// Dirty limits: a guest that dirties memory as fast as it can is slowed down, released, and answers requests while it sleeps.

import { setTimeout as sleep } from 'node:timers/promises';
import type { VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { startDirtying } from '../dirtying-guest.ts';
import { codeOf } from '../errors.ts';
import { kvmSuite } from '../harness.ts';
import { until } from '../run-guest.ts';
import { slowness } from '../slowness.ts';
import { startSpinning } from '../spinning-guest.ts';

const test = kvmSuite('dirty limit');

/** Pages a second that a free guest dirties at least 20 times as many of, on any machine. */
const LIMIT = 200 / slowness;
const WINDOW_MS = 1500 * slowness;
const rateOf = async (vm: VirtualMachine) => (await vm.dirtyRate({ windowMs: WINDOW_MS })).pagesPerSecond;

/** Resolves when the vCPU runs for a small part of the time only. */
const untilThrottled = (vm: VirtualMachine, index = 0) =>
  until(() => (vm.vcpus[index]?.dirtyLimit?.share ?? 1) < 0.3, `vCPU ${index} is throttled`);

test('a limited guest dirties a fraction of what it does freely, and all of it again when the limit is lifted', async () => {
  await using vm = await startDirtying();
  const [vcpu] = vm.vcpus;
  const free = await rateOf(vm);
  vcpu?.setDirtyLimit(LIMIT);
  await untilThrottled(vm);
  const limited = await rateOf(vm);
  const told = vcpu?.dirtyLimit;
  vcpu?.setDirtyLimit(undefined);
  const released = await rateOf(vm);

  assert.ok(limited < free / 3, `${limited} pages/s of ${free}`);
  assert.ok(limited > 0, 'it is not starved');
  assert.is(told?.pagesPerSecond, LIMIT);
  assert.ok(released > 3 * limited, `${released} pages/s after ${limited}`);
  assert.is(vcpu?.dirtyLimit, undefined);
});

test('every vCPU has its limit', async () => {
  await using vm = await startDirtying({ vcpus: 2 });
  const free = await rateOf(vm);
  vm.setDirtyLimit(LIMIT);
  await untilThrottled(vm, 0);
  await untilThrottled(vm, 1);
  const limited = await rateOf(vm);

  assert.ok(limited < free / 3, `${limited} pages/s of ${free}`);
});

test('a guest that dirties less than its limit runs freely', async () => {
  await using vm = await startSpinning({ vcpus: 1, dirtyTracking: true });
  vm.setDirtyLimit(1_000_000);
  await sleep(500);

  assert.is(vm.vcpus[0]?.dirtyLimit?.share, 1);
});

test('a throttled vCPU answers: registers, pause, resume, changes of memory, stop', async () => {
  await using vm = await startDirtying();
  vm.setDirtyLimit(1);
  await untilThrottled(vm);

  const regs = await vm.vcpus[0]?.getRegs();
  vm.memory.addRegion(0x4000_0000, 4096);
  vm.memory.removeRegion(0x4000_0000);
  await vm.pause();
  await vm.resume();
  await vm.stop();

  assert.ok(regs !== undefined && regs.rip > 0n);
  assert.is(vm.vcpus[0]?.dirtyLimit, undefined);
  assert.is(await codeOf(() => vm.setDirtyLimit(1)), 'ERR_STATE');
});

test('with tracking off a limit is refused, also where there is one, and lifting is not', async () => {
  await using vm = await startSpinning({ vcpus: 1, dirtyTracking: true });
  vm.setDirtyLimit(10);
  vm.memory.disableDirtyTracking();

  assert.is(await codeOf(() => vm.setDirtyLimit(5)), 'ERR_DIRTY_TRACKING_OFF');
  assert.is(vm.vcpus[0]?.dirtyLimit?.pagesPerSecond, 10);
  vm.setDirtyLimit(undefined);
  assert.is(vm.vcpus[0]?.dirtyLimit, undefined);
});

test('a throttled VM is disposed of', async () => {
  const vm = await startDirtying();
  vm.setDirtyLimit(1);
  await untilThrottled(vm);

  await vm[Symbol.asyncDispose]();

  assert.is(vm.state, 'disposed');
});

test('other consumers see every page that a limited guest dirties', async () => {
  await using vm = await startDirtying();
  using cursor = vm.memory.dirtyCursor('other', { initially: 'clean' });
  vm.setDirtyLimit(LIMIT);
  await untilThrottled(vm);
  await vm.pause();
  using harvest = cursor.harvest();

  assert.ok(harvest.pageCount > 0);
});

test('limits need tracking, and a number above 0', async () => {
  await using vm = await startDirtying({ dirtyTracking: false });
  const set = vm.setDirtyLimit.bind(vm) as (limit: unknown) => void;

  assert.is(await codeOf(() => set(100)), 'ERR_DIRTY_TRACKING_OFF');
  assert.is(await codeOf(() => set(0)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => set(Number.NaN)), 'ERR_OUT_OF_RANGE');
  assert.is(await codeOf(() => set('1')), 'ERR_INVALID_ARG_TYPE');
  assert.is(vm.vcpus[0]?.dirtyLimit, undefined);
});

test('while tracking is off nobody is throttled; the limit counts again when it is on', async () => {
  await using vm = await startDirtying();
  const [vcpu] = vm.vcpus;
  vm.setDirtyLimit(LIMIT);
  await untilThrottled(vm);
  vm.memory.disableDirtyTracking();
  await until(() => vcpu?.dirtyLimit?.share === 1, 'the vCPU runs freely');
  vm.memory.enableDirtyTracking();
  await untilThrottled(vm);
});

test.run();
