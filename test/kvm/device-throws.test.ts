// A device's handler that throws, wherever it lives, ends its machine with that error; the process and other machines live on.

import { deviceModule, type HypervisorError } from 'node-kvm';
import * as assert from 'uvu/assert';
import { at, code, jump } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { unreadable } from '../odd-values.ts';
import { type Result, runGuest } from '../run-guest.ts';

const test = kvmSuite('a device throws');

/** vCPU 1 spins, vCPU 0 writes: all of the machine must end. */
const guest = code(
  [0x85, 0xff], //        test edi, edi
  at('spin'),
  jump(0x75, 'spin'), //   jnz spin
  [0xe7, 0x10], //        out 0x10, eax
  [0xf4], //              hlt
);

const pio = { base: 0x10, length: 4 };
const module = new URL('./devices/throwing.js', import.meta.url);
const closure = {
  name: 'throwing',
  pio,
  write() {
    throw new Error('the device is on fire');
  },
};

function assertOnFire(result: Result): void {
  const error = result.error as HypervisorError;
  assert.is(result.reason, 'error');
  assert.is(result.vcpu, 0);
  assert.is(error.code, 'ERR_DEVICE_HANDLER');
  assert.match(error.message, 'throwing');
  assert.match(String((error.cause as Error).message), 'the device is on fire');
}

test('on the main thread', async () => {
  assertOnFire(await runGuest(guest, { mode: 32, vcpus: 2, devices: [closure] }));
});

for (const where of ['vcpu', 'io'] as const) {
  test(`in a module, where '${where}'`, async () => {
    const device = deviceModule(module, { name: 'throwing', pio, where });
    assertOnFire(await runGuest(guest, { mode: 32, vcpus: 2, devices: [device] }));
  });
}

test('an error that cannot be read', async () => {
  const unreadableDevice = {
    ...closure,
    write() {
      throw unreadable();
    },
  };
  const { error } = await runGuest(guest, { mode: 32, vcpus: 2, devices: [unreadableDevice] });

  assert.is(error?.code, 'ERR_DEVICE_HANDLER');
});

/** vCPU 1 spins, vCPU 0 reads. */
const reader = code(
  [0x85, 0xff], //        test edi, edi
  at('spin'),
  jump(0x75, 'spin'), //   jnz spin
  [0xe5, 0x10], //        in eax, 0x10
  [0xf4], //              hlt
);

test('a read that returns a promise, which rejects', async () => {
  const read = async () => {
    throw new Error('too late');
  };
  // SAFETY: what the compiler would refuse is what is tested.
  const device = { name: 'throwing', pio, read: read as unknown as () => number };
  const { error } = await runGuest(reader, { mode: 32, vcpus: 2, devices: [device] });

  assert.is(error?.code, 'ERR_DEVICE_HANDLER');
  assert.match(String(error?.message), 'must be synchronous');
});

test.run();
