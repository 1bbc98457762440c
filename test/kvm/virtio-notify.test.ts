// A virtio device of a machine: registers as exits, notifications by ioeventfd, interrupts by irqfd.

import * as assert from 'uvu/assert';
import { MMIO } from '../../shared/virtio/mmio.ts';
import { virtioDevice } from '../../src/main/devices/virtio-device.ts';
import { kvmSuite } from '../harness.ts';
import { BUFFERS, VirtioMachine } from '../kvm-virtio.ts';

const test = kvmSuite('virtio devices');

const echo = (act = 'echo') => virtioDevice(new URL('./devices/virtio-echo.js', import.meta.url), { data: { act } });
const TEXT = new TextEncoder().encode('what is said');
const said = { at: BUFFERS, length: TEXT.byteLength };
const heard = { at: BUFFERS + 0x1000, length: TEXT.byteLength };

test('the guest finds its devices in order, each at its page', async () => {
  await using machine = await VirtioMachine.start({ rng: true, virtio: [echo(), echo()] });
  const ids: number[] = [];
  for (const device of [0, 1, 2]) {
    assert.is(await machine.access(device, MMIO.MAGIC), 0x7472_6976);
    ids.push(await machine.access(device, MMIO.DEVICE_ID));
  }

  assert.equal(ids, [4, 42, 42]);
  assert.is(await machine.access(1, MMIO.CONFIG), 0x0403_0201);
  assert.is(await machine.access(3, MMIO.MAGIC), 0xffff_ffff);
});

test('a request is answered, with one interrupt, and its notification is no exit', async () => {
  await using machine = await VirtioMachine.start({ virtio: [echo()] });
  const [, queue] = await machine.setUp(0, { queues: 2 });
  machine.memory.write(said.at, TEXT);
  const exits = () => machine.vm.stats().total.exitsByReason['mmio'] ?? 0;
  const before = exits();

  for (let round = 1; round <= 20; round++) {
    machine.memory.memset(heard.at, 0, heard.length);
    assert.is(await queue?.request([said], [heard]), TEXT.byteLength);
    await machine.interrupted(round);
    const bytes = new Uint8Array(heard.length);
    machine.memory.read(heard.at, bytes);
    assert.equal(bytes, TEXT);
  }

  assert.is(exits(), before);
  assert.is(machine.interrupts, 20);
  assert.is(await machine.access(0, MMIO.INTERRUPT_STATUS), 1);
  await machine.access(0, MMIO.INTERRUPT_ACK, 1);
  assert.is(await machine.access(0, MMIO.INTERRUPT_STATUS), 0);
  assert.is(exits(), before + 3);
});

test('a queue that the device does not have is notified by an exit, to no effect', async () => {
  await using machine = await VirtioMachine.start({ virtio: [echo()] });
  await machine.setUp(0, { queues: 2 });
  const before = machine.vm.stats().total.exitsByReason['mmio'] ?? 0;
  await machine.access(0, MMIO.QUEUE_NOTIFY, 2);
  assert.is(machine.vm.stats().total.exitsByReason['mmio'], before + 1);
  assert.is(await machine.access(0, MMIO.STATUS), 15);
});

test('rng fills what it is given', async () => {
  await using machine = await VirtioMachine.start({ rng: true });
  const [queue] = await machine.setUp(0);
  assert.is(await queue?.request([], [{ at: BUFFERS, length: 64 }]), 64);
  const first = new Uint8Array(64);
  machine.memory.read(BUFFERS, first);
  assert.is(await queue?.request([], [{ at: BUFFERS, length: 64 }]), 64);
  const second = new Uint8Array(64);
  machine.memory.read(BUFFERS, second);

  assert.is.not(Buffer.compare(first, new Uint8Array(64)), 0);
  assert.is.not(Buffer.compare(first, second), 0);
});

test('a chain that breaks the rules stops the device until its reset, and the others go on', async () => {
  await using machine = await VirtioMachine.start({ virtio: [echo(), echo()] });
  const [bad] = await machine.setUp(0);
  const [good] = await machine.setUp(1);
  bad?.add([{ at: 0x7fff_0000, length: 16 }], []);
  await bad?.notify();
  await machine.interrupted(1);

  assert.is((await machine.access(0, MMIO.STATUS)) & 64, 64);
  machine.memory.write(said.at, TEXT);
  assert.is(await good?.request([said], [heard]), TEXT.byteLength);
  const [again] = await machine.setUp(0);
  assert.is(await again?.request([said], [heard]), TEXT.byteLength);
});

test.run();
