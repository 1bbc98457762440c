// The modules that a VM's I/O worker loads for vsock(), net(), virtioConsole() and balloon(), on this thread: what the factories hand over
// makes a device that works, holds still while the VM is paused, and ends with it. Without KVM.

import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { HostedVirtioDevice, VirtioDeviceContext, VirtioDeviceSpec } from '../../shared/virtio/module.ts';
import type { VirtioVsock } from '../../shared/virtio/vsock.ts';
import { balloon } from '../../src/main/devices/balloon.ts';
import { net, netLink } from '../../src/main/devices/net.ts';
import { virtioConsole } from '../../src/main/devices/virtio-console.ts';
import { vsock } from '../../src/main/devices/vsock.ts';
import { createVirtioDevice as makeBalloon } from '../../src/workers/virtio-balloon-device.ts';
import { createVirtioDevice as makeConsole } from '../../src/workers/virtio-console-device.ts';
import { createVirtioDevice as makeNet } from '../../src/workers/virtio-net-device.ts';
import { createVirtioDevice as makeVsock } from '../../src/workers/virtio-vsock-device.ts';
import { codeOf } from '../errors.ts';
import { QueuesDriver } from '../virtio-queues.ts';
import { GuestVsock } from '../vsock-guest.ts';

const test = suite('virtio modules');
// The application's ports do not keep the process alive: here nothing else would.
const alive = setInterval(() => {}, 60_000);
test.after(() => clearInterval(alive));

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 20_000; i++) {
    if (condition()) return;
    await turn();
  }
  throw new Error(`never: ${what}`);
}

async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await turn();
}

const contextOf = ({ name, data }: VirtioDeviceSpec, memory: KvmMemory): VirtioDeviceContext => ({
  name,
  data,
  memory,
});

test('vsock: a guest and the application, a pause, and the end', async () => {
  using memory = new KvmMemory(0x10_0000);
  const host = vsock({ cid: 7 });
  const device: HostedVirtioDevice = makeVsock(contextOf(host.device, memory));
  const guest = new GuestVsock(device as VirtioVsock, memory);
  guest.onRequest = () => {};
  const socket = await host.connect(80);
  device.pause?.();
  const before = guest.packets.length;
  socket.write('held');
  await settle();
  assert.is(guest.packets.length, before, 'nothing is written to the guest');
  device.resume?.();
  await until(() => guest.packets.length > before, 'what was held');
  const error = once(socket, 'error');
  device.close?.();
  assert.is((await error)[0].code, 'ENETDOWN');
  guest.driver.onInterrupt = undefined;
});

test('net: two machines on a link; the application’s end; an end is for one', async () => {
  using memory = new KvmMemory(0x10_0000);
  const [left, right] = netLink();
  const spec = net({ to: left, mac: '02:00:00:00:00:01' });
  assert.is(await codeOf(() => net({ to: left })), 'ERR_STATE');
  const device = await makeNet(contextOf(spec, memory));
  const driver = new QueuesDriver(device, memory).setUp(0n, [4, 4]);
  const link = right.open();
  const rx = driver.queue(0);
  rx.add([], [rx.buffer(0, 2048)]);
  rx.add([], [rx.buffer(1, 2048)]);
  device.pause?.();
  link.write(new Uint8Array(60));
  await settle();
  assert.equal(rx.collect(), [], 'lost while paused');
  device.resume?.();
  link.write(new Uint8Array(61));
  let used = rx.collect();
  await until(() => {
    if (used.length === 0) used = rx.collect();
    return used.length > 0;
  }, 'a frame');
  assert.is(used[0]?.length, 12 + 61);
  const closed = once(link, 'close');
  device.close?.();
  await closed;
});

test('net: options that cannot be', async () => {
  const make = (options: object) => codeOf(() => net({ to: '/run/none', ...options }));
  assert.is(await make({ mac: '01:00:00:00:00:01' }), 'ERR_OUT_OF_RANGE');
  assert.is(await make({ mac: '02:00:00' }), 'ERR_OUT_OF_RANGE');
  assert.is(await make({ mac: 5 }), 'ERR_INVALID_ARG_TYPE');
  assert.is(await make({ mtu: 10 }), 'ERR_OUT_OF_RANGE');
  assert.is(await make({ tap: true }), 'ERR_UNKNOWN_OPTION');
  assert.is(await make({ to: 5 }), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => vsock({ cid: 2 })), 'ERR_OUT_OF_RANGE');
});

test('a console’s far end', async () => {
  using memory = new KvmMemory(0x10_0000);
  const { device: spec, console: stream } = virtioConsole({ columns: 100, rows: 40 });
  const device = makeConsole(contextOf(spec, memory));
  const driver = new QueuesDriver(device, memory).setUp(1n, [4, 4]);
  assert.is(driver.mmio.read(0x100, 2), 100);
  const rx = driver.queue(0);
  rx.add([], [rx.buffer(0, 64)]);
  rx.kick();
  device.pause?.();
  stream.write('x');
  await settle();
  assert.equal(rx.collect(), []);
  device.resume?.();
  assert.equal(
    rx.collect().map(({ length }) => length),
    [1],
  );
  stream.resume();
  const ended = once(stream, 'end');
  device.close?.();
  await ended;
  assert.is(await codeOf(() => virtioConsole({ columns: -1, rows: 1 })), 'ERR_OUT_OF_RANGE');
});

test('a balloon’s target, pages and counters', async () => {
  using memory = new KvmMemory(0x80_0000);
  const host = balloon();
  const device = makeBalloon(contextOf(host.device, memory));
  const driver = new QueuesDriver(device, memory).setUp(0n, [4, 4]);
  host.setTarget(4096);
  await until(() => driver.get(0x100) === 1, 'the target');
  memory.memset(0x20_0000, 7, 4096);
  const queue = driver.queue(0);
  const place = queue.buffer(0, 4);
  memory.write(place.at, new Uint8Array(Uint32Array.of(0x200).buffer));
  queue.add([place], []);
  queue.kick();
  driver.set(0x104, 1);
  assert.equal([host.actual, host.givenBack, memory.view(0x20_0000, 1)[0]], [4096, 4096, 0]);
  assert.is(await codeOf(host.stats()), 'ERR_STATE');
  device.close?.();
});

test.run();
