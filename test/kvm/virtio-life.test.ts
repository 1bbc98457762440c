// The life of a machine with virtio devices: what cannot be made, pause with requests in flight, a device that fails, the end with everything closed.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import { VirtualMachine } from 'node-kvm';
import * as assert from 'uvu/assert';
import { MMIO } from '../../shared/virtio/mmio.ts';
import { virtioDevice } from '../../src/main/devices/virtio-device.ts';
import type { VirtioFault } from '../../src/main/trace.ts';
import { codeOf } from '../errors.ts';
import { kvmSuite } from '../harness.ts';
import { BUFFERS, VirtioMachine } from '../kvm-virtio.ts';
import { leftovers } from '../process-state.ts';

const test = kvmSuite('virtio life');

const url = new URL('./devices/virtio-echo.js', import.meta.url);
const said = { at: BUFFERS, length: 16 };
const heard = { at: BUFFERS + 0x1000, length: 16 };

/** A device that holds its chains until it is told to go on, and what it says of its life. */
function holding() {
  const { port1, port2 } = new MessageChannel();
  const life: string[] = [];
  port1.on('message', (what: string) => life.push(what));
  const device = virtioDevice(url, { name: 'held', data: { act: 'hold', port: port2 }, transfer: [port2] });
  const until = async (what: string, times = 1) => {
    while (life.filter(said => said === what).length < times)
      await once(port1, 'message', { signal: AbortSignal.timeout(20_000) });
  };
  return { device, life, until, goOn: () => port1.postMessage('go on') };
}

const acting = (act: string) => virtioDevice(url, { name: act, data: { act } });
const create = (options: Partial<Parameters<typeof VirtualMachine.create>[0]>) =>
  codeOf(() => VirtualMachine.create({ memory: 1 << 20, vcpus: 1, engine: 'kvm', ...options }));

test('what cannot be made is refused, and leaves nothing', async () => {
  // What Node keeps of a first worker is not ours.
  await create({ virtio: [acting('refuse')] });
  const before = leftovers();
  const nowhere = virtioDevice(new URL('./devices/nowhere.js', import.meta.url));
  const noModule = virtioDevice(new URL('./devices/counter.js', import.meta.url));
  assert.is(await create({ virtio: [acting('echo'), acting('refuse')] }), 'ERR_IMAGE_FORMAT');
  for (const device of [nowhere, noModule, acting('odd')])
    assert.is(await create({ virtio: [device] }), 'ERR_DEVICE_HANDLER');
  assert.is(await create({ virtio: Array.from({ length: 18 }, () => acting('echo')) }), 'ERR_OUT_OF_RANGE');
  assert.is(await create({ virtio: [virtioDevice(url, { data: () => {} })] }), 'ERR_INVALID_ARG_TYPE');
  const claims = { name: 'in the way', mmio: { base: 0xd000_0800, length: 4 } };
  assert.is(await create({ rng: true, devices: [claims] }), 'ERR_DEVICE_OVERLAP');

  assert.is(leftovers(before).fds, 0);
  assert.is(leftovers(before).threads, 0);
});

test('dispose closes everything, requests in flight or not', async () => {
  const run = async () => {
    const { device, until, life } = holding();
    const machine = await VirtioMachine.start({ virtio: [device, acting('echo')], rng: true });
    const [queue] = await machine.setUp(1);
    queue?.add([said], [heard]);
    await queue?.notify();
    await until('held 1');
    await machine.vm[Symbol.asyncDispose]();
    await until('close');
    assert.is((await machine.vm.finished).reason, 'stopped');
    assert.is(life.filter(what => what === 'close').length, 1);
  };
  await run();
  const before = leftovers();
  await run();
  await run();
  assert.is(leftovers(before).fds, 0);
  assert.is(leftovers(before).threads, 0);
});

test('a reset with requests in flight: their answers vanish, and the device works again', async () => {
  const { device, until, goOn } = holding();
  await using machine = await VirtioMachine.start({ virtio: [device] });
  const [queue] = await machine.setUp(0);
  queue?.add([said], [heard]);
  await queue?.notify();
  await until('held 1');
  const [again] = await machine.setUp(0);
  again?.add([said], [heard]);
  await again?.notify();
  await until('held 2');
  goOn();

  assert.equal(await again?.back(1), [16]);
  await machine.interrupted(1);
  assert.is(machine.interrupts, 1);
});

test('pause: the device is told, and notified of nothing until it goes on', async () => {
  const { device, until, life, goOn } = holding();
  await using machine = await VirtioMachine.start({ virtio: [device] });
  const [queue] = await machine.setUp(0);
  await machine.vm.pause();
  // What the device says comes on a port of its own, in its own time.
  await until('pause');
  await machine.vm.resume();
  queue?.add([said], [heard]);
  await queue?.notify();
  await until('held 1');
  await machine.vm.pause();
  await machine.vm.resume();
  goOn();

  assert.equal(await queue?.back(1), [16]);
  await until('resume', 2);
  assert.equal(life, ['pause', 'resume', 'held 1', 'pause', 'resume']);
});

for (const [act, message] of [
  ['throw', /thrown on purpose/],
  ['exit', /I\/O worker ended/],
] as const) {
  test(`a device that fails (${act}) ends the VM with its error`, async () => {
    await using machine = await VirtioMachine.start({ virtio: [acting(act)] });
    const [queue] = await machine.setUp(0);
    queue?.add([said], [heard]);
    await queue?.notify().catch(() => {});

    const { reason, error } = await machine.vm.finished;
    assert.is(reason, 'error');
    assert.is(error?.code, 'ERR_DEVICE_HANDLER');
    assert.match(error?.message ?? '', message);
  });
}

test('a device that fails in a pause ends the VM with its error', async () => {
  await using machine = await VirtioMachine.start({ virtio: [acting('throw')] });
  await machine.vm.pause().catch(() => {});
  const { reason, error } = await machine.vm.finished;
  assert.is(reason, 'error');
  assert.is(error?.code, 'ERR_DEVICE_HANDLER');
  assert.match(error?.message ?? '', /thrown on purpose/);
});

test('a driver that breaks a rule: its device and the reason are told, a few times', async () => {
  await using machine = await VirtioMachine.start({ virtio: [acting('echo')] });
  const told: VirtioFault[] = [];
  const hear = (fault: unknown) => told.push(fault as VirtioFault);
  subscribe('node-kvm:virtio.fault', hear);
  for (let i = 0; i < 20; i++) {
    const [queue] = await machine.setUp(0);
    queue?.add([], [{ at: 2 ** 40, length: 1 }]);
    await queue?.notify();
    while ((await machine.access(0, MMIO.STATUS)) === 15);
  }
  // What is told comes before the answer to what is asked next.
  await machine.vm.pause();
  unsubscribe('node-kvm:virtio.fault', hear);
  assert.is(told.length, 16);
  const [first] = told;
  assert.is(first?.device, 'echo');
  assert.is(first?.memory, machine.vm.memory);
  assert.is(first?.reason, 'queue 0: [0x10000000000, +0x1) is not writable RAM');
});

test('a status register that is read while the device is busy answers', async () => {
  const { device, until } = holding();
  await using machine = await VirtioMachine.start({ virtio: [device] });
  const [queue] = await machine.setUp(0);
  queue?.add([said], [heard]);
  await queue?.notify();
  await until('held 1');
  assert.is(await machine.access(0, MMIO.STATUS), 15);
});

test.run();
