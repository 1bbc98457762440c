// A guest rings a doorbell; a device on the vCPU's own thread notifies the word, and Atomics.waitAsync on the main thread wakes.

import { deviceModule } from 'node-kvm';
import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { runGuest } from '../run-guest.ts';

const test = kvmSuite('doorbell wakes waitAsync');

const guest = code(
  [0xb8, 0x2a, 0x00, 0x00, 0x00], // mov eax, 42
  [0xe7, 0x10], //                   out 0x10, eax
  [0xf4], //                         hlt
);

test('the promise of waitAsync resolves with what the guest rang', async () => {
  const state = new SharedArrayBuffer(16);
  const words = new Int32Array(state);
  const bell = deviceModule(new URL('./devices/doorbell.js', import.meta.url), {
    name: 'bell',
    pio: { base: 0x10, length: 4 },
    where: 'vcpu',
    state,
  });
  const wait = Atomics.waitAsync(words, 0, 0);

  await runGuest(guest, { mode: 32, devices: [bell] });

  assert.is(await wait.value, 'ok');
  assert.is(Atomics.load(words, 0), 42);
});

test.run();
