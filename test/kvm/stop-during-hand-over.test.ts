// stop() ends a machine also while its vCPU sleeps for a device that another thread serves.

import { deviceModule } from 'node-kvm';
import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { loadGuest, until } from '../run-guest.ts';
import { slowness } from '../slowness.ts';

const test = kvmSuite('stop during a hand-over');

const guest = code(
  [0xe5, 0x10], // in eax, 0x10
  [0xf4], //       hlt
);

const pio = { base: 0x10, length: 4 };

test('while the I/O worker is busy with the access', async () => {
  const state = new SharedArrayBuffer(8);
  const words = new Int32Array(state);
  const device = deviceModule(new URL('./devices/slow.js', import.meta.url), { name: 'slow', pio, where: 'io', state });
  await using vm = await loadGuest(guest, { mode: 32, devices: [device] });
  await vm.start();
  await until(() => words[0] === 1, 'the device is asked');
  const begin = performance.now();

  await vm.stop();

  assert.is((await vm.finished).reason, 'stopped');
  // Long before the thread would be ended for not answering.
  assert.ok(performance.now() - begin < 400 * slowness);
  Atomics.store(words, 1, 1);
  Atomics.notify(words, 1);
});

test('from inside the handler, on the main thread', async () => {
  let stopped: Promise<void> | undefined;
  let asked = 0;
  const device = {
    name: 'stops',
    pio,
    read() {
      asked += 1;
      stopped = vm.stop();
      return 7;
    },
  };
  await using vm = await loadGuest(guest, { mode: 32, devices: [device] });
  await vm.start();

  const result = await vm.finished;
  await stopped;

  assert.is(result.reason, 'stopped');
  assert.is(asked, 1);
});

test('while the main thread has not yet looked at the access', async () => {
  let asked = 0;
  const device = { name: 'late', pio, read: () => ++asked };
  await using vm = await loadGuest(guest, { mode: 32, devices: [device] });
  await vm.start();
  // The main thread is busy: the vCPU reaches its IN and waits.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);

  await vm.stop();

  assert.ok(['stopped', 'halt'].includes((await vm.finished).reason));
  assert.ok(asked <= 1);
});

test.run();
