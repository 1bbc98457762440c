// Pause, resume, stop and dispose on the host engine.

import { setTimeout as sleep } from 'node:timers/promises';
import { u32le, VcpuPool, type VirtualMachine } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';
import { until } from '../run-guest.ts';
import { loadProgram } from './run-program.ts';

const test = suite('host engine control');
const counters = (vm: VirtualMachine) => [0, 1].map(vcpu => vm.memory.atomics.load(0x1000 + 4 * vcpu, u32le));

test('a paused program stands still, a resumed one goes on', async () => {
  await using vm = await loadProgram('checkpoints');
  await vm.start();
  await until(() => counters(vm).every(count => count > 0), 'both programs to begin');
  await vm.pause();
  const paused = counters(vm);
  await sleep(30);
  assert.equal(counters(vm), paused);
  assert.is(vm.state, 'paused');

  await vm.resume();
  await until(() => counters(vm).every((count, vcpu) => count > (paused[vcpu] ?? 0)), 'both programs going on');
});

for (const act of ['checkpoints', 'spin', 'await', 'swallow'] as const) {
  test(`stop ends '${act}'`, async () => {
    await using vm = await loadProgram(act);
    await vm.start();
    await sleep(30);
    await vm.stop();

    assert.is((await vm.finished).reason, 'stopped');
  });
}

test('pause of a program that comes to no exit ends with the VM', async () => {
  await using vm = await loadProgram('spin', { vcpus: 1 });
  await vm.start();
  await sleep(30);
  const pausing = codeOf(vm.pause());
  await sleep(20);
  await vm.stop();

  assert.is(await pausing, 'ERR_STATE');
});

test('the threads of a pool serve the next VM, also after one had to be ended', async () => {
  await using pool = new VcpuPool({ threads: 2 });
  for (const act of ['spin', 'return', 'spin'] as const) {
    await using vm = await loadProgram(act, { pool });
    await vm.start();
    await sleep(20);
    await vm.stop();
  }
  await using vm = await loadProgram('halt', { pool });
  await vm.start();
  assert.is((await vm.finished).reason, 'halt');
});

test('registers are not to be had', async () => {
  await using vm = await loadProgram('return');

  assert.is(await codeOf(vm.vcpus[0]?.getRegs() ?? Promise.resolve()), 'ERR_ENGINE');
});

test.run();
