// A machine that is paused, or ends, while devices have turns of the event loop to come: its rings stand still, and nothing is missed
// behind it. Without KVM.

import { setImmediate as turn } from 'node:timers/promises';
import { KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MMIO } from '../../shared/virtio/mmio.ts';
import { VirtioRng } from '../../shared/virtio/rng.ts';
import { VirtioHost } from '../../src/workers/virtio-host.ts';
import { QueuesDriver } from '../virtio-queues.ts';

const test = suite('virtio, pause');
const MEMORY = 0x10_0000;
const SIZE = 4;
const data = { at: 0x8_0000, length: 16 };
const echo = new URL('../kvm/devices/virtio-echo.js', import.meta.url).href;

/** A ring that is full, and a driver that has just notified the device: it has one more turn to come. */
function busy(driver: QueuesDriver): void {
  const queue = driver.queue(0);
  while (queue.room > 0) queue.add([], [data]);
  queue.kick();
  assert.is(queue.collect().length, SIZE);
}

test('a paused device takes nothing and asks for no notification, in no later turn either; then it looks at its queues', async () => {
  using memory = new KvmMemory(MEMORY);
  const driver = new QueuesDriver(new VirtioRng(view => view.fill(7)), memory).setUp(0n, [SIZE]);
  busy(driver);
  driver.queue(0).add([], [data]);
  driver.mmio.pause();
  driver.queue(0).kick();
  const before = memory.view(0, MEMORY).slice();
  for (let i = 0; i < 5; i++) await turn();
  assert.is(Buffer.compare(memory.view(0, MEMORY), before), 0, 'its memory stands still');
  assert.equal(driver.queue(0).collect(), []);

  driver.mmio.resume();
  assert.is(driver.queue(0).collect().length, 1, 'without a notification');
});

test('a device that answers while the machine ends says nothing more, and nothing fails', async () => {
  using memory = new KvmMemory(MEMORY);
  const errors: unknown[] = [];
  const host = await VirtioHost.open([{ name: 'echo', url: echo, data: { act: 'echo' } }], memory, {
    error: error => errors.push(error),
    fault: (_, reason) => errors.push(reason),
  });
  const registers = host.registers(0);
  const driver = new QueuesDriver(new VirtioRng(() => {}), memory);
  // Its driver, at the registers of the host's device.
  driver.set = (register, value) => void registers?.write?.(register, 4, value, { vcpu: 0, end() {} });
  driver.setUp(0n, [SIZE, SIZE]);
  busy(driver);
  driver.queue(0).add([], [data]);
  await host.close();
  for (let i = 0; i < 5; i++) await turn();
  assert.equal(errors, []);
  assert.equal(driver.queue(0).collect(), []);
  assert.is(Number(registers?.read?.(MMIO.QUEUE_NOTIFY, 4, { vcpu: 0, end() {} })), 0);
});

test.run();
