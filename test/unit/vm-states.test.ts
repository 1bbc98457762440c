// The state machine, and what create() refuses. On the host engine: the same code as on kvm.

import { deviceModule, flat, program, VcpuPool, VirtualMachine, type VirtualMachineOptions } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';
import { behaviours, loadProgram } from './run-program.ts';

const test = suite('VM states and options');
const basic = { memory: 1 << 20, vcpus: 1, engine: 'host' } as const;
const create = (options: object) => codeOf(VirtualMachine.create({ ...basic, ...options } as VirtualMachineOptions));

test('wrong options are refused with a code', async () => {
  for (const options of [
    { vcpus: '1' },
    { memory: '1' },
    { pool: {} },
    { signal: {} },
    { devices: {} },
    { onDebug: 1 },
    { deadlineMs: '1' },
    { trace: 1 },
  ]) {
    assert.is(await create(options), 'ERR_INVALID_ARG_TYPE', JSON.stringify(options));
  }
  for (const options of [
    { vcpus: 0 },
    { vcpus: 1.5 },
    { vcpus: Number.NaN },
    { memory: -1 },
    { memory: 2n ** 60n },
    { engine: 'xen' },
    { deadlineMs: 0 },
    { affinity: [] },
  ]) {
    assert.is(
      await create(options),
      'ERR_OUT_OF_RANGE',
      JSON.stringify(options, (_, value) => String(value)),
    );
  }
  assert.is(await create({ ram: 1 }), 'ERR_UNKNOWN_OPTION');
  assert.is(await create({ dirtyTracking: { sauce: 1 } }), 'ERR_UNKNOWN_OPTION');
  assert.is(await create({ vcpus: 100_000 }), 'ERR_TOO_MANY_VCPUS');
  assert.is(await create({ memory: 4097 }), 'ERR_MEMORY_ALIGNMENT');
  assert.is(await create({ signal: AbortSignal.abort() }), 'ERR_ABORTED');
});

test('overlapping devices and impossible ranges are refused', async () => {
  const at = (name: string, base: number, length: number) => ({ name, pio: { base, length } });
  assert.is(await create({ devices: [at('a', 0x10, 8), at('b', 0x17, 1)] }), 'ERR_DEVICE_OVERLAP');
  assert.is(await create({ devices: [at('a', 0xffff, 2)] }), 'ERR_OUT_OF_RANGE');
  assert.is(await create({ devices: [{ name: 'a' }] }), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => deviceModule('device.js', { ...at('a', 0, 1), where: 'vcpu' })), 'ERR_OUT_OF_RANGE');
});

test('a pool that is too small is refused, and stays whole', async () => {
  await using pool = new VcpuPool({ threads: 1 });
  assert.is(await create({ vcpus: 2, pool }), 'ERR_POOL_TOO_SMALL');
  assert.is(pool.free, 1);
  assert.is(await codeOf(() => new VcpuPool({ threads: 0 })), 'ERR_OUT_OF_RANGE');
});

test('operations in the wrong state are refused', async () => {
  const vm = await VirtualMachine.create(basic);
  assert.is(vm.state, 'created');
  for (const operation of ['start', 'pause', 'resume'] as const)
    assert.is(await codeOf(vm[operation]()), 'ERR_STATE', operation);
  assert.is(await codeOf(vm.load(flat(new Uint8Array(1), { at: 0x1000, mode: 64 }))), 'ERR_ENGINE');

  for (const image of [undefined, {}, { engine: 'kvm' }, { engine: 'host' }])
    assert.is(await codeOf(vm.load(image as never)), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => vm.memory[Symbol.dispose]()), 'ERR_MEMORY_IN_USE');
  await vm.load(program(behaviours, { act: 'return' }));
  assert.is(vm.state, 'loaded');
  assert.is(await codeOf(vm.load(program(behaviours, { act: 'return' }))), 'ERR_STATE');

  await vm.start();
  assert.is(await codeOf(vm.start()), 'ERR_STATE');
  await vm.finished;
  assert.is(vm.state, 'finished');
  for (const operation of ['start', 'pause', 'resume'] as const)
    assert.is(await codeOf(vm[operation]()), 'ERR_STATE', operation);
  await vm.stop();
  assert.is(vm.memory.size(), 1 << 20);

  await Promise.all([vm[Symbol.asyncDispose](), vm[Symbol.asyncDispose]()]);
  assert.is(vm.state, 'disposed');
  assert.is(await codeOf(vm.start()), 'ERR_DISPOSED');
  assert.is(await codeOf(() => vm.memory.size()), 'ERR_DISPOSED');
});

test('dispose from every state before', async () => {
  const created = await VirtualMachine.create(basic);
  await created[Symbol.asyncDispose]();
  assert.is((await created.finished).reason, 'stopped');

  const loaded = await loadProgram('spin');
  await loaded[Symbol.asyncDispose]();
  assert.is((await loaded.finished).reason, 'stopped');

  const running = await loadProgram('checkpoints');
  await running.start();
  await running[Symbol.asyncDispose]();
  assert.is((await running.finished).reason, 'stopped');

  const paused = await loadProgram('checkpoints');
  await paused.start();
  await paused.pause();
  await paused[Symbol.asyncDispose]();
  assert.is((await paused.finished).reason, 'stopped');
});

test('an aborted signal ends the VM', async () => {
  const controller = new AbortController();
  await using vm = await loadProgram('checkpoints', { signal: controller.signal });
  await vm.start();
  controller.abort();

  assert.is((await vm.finished).reason, 'stopped');
});

test.run();
