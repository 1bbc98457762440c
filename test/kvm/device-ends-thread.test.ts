// A device module that ends its own thread: its machine ends with an error that says so; others run on.

import { deviceModule, type HypervisorError } from 'node-kvm';
import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { runGuest } from '../run-guest.ts';
import { counters, startSpinning, untilAllMoved } from '../spinning-guest.ts';

const test = kvmSuite('a device ends its thread');

const guest = code(
  [0xe7, 0x10], // out 0x10, eax
  [0xf4], //       hlt
);
const module = new URL('./devices/exiting.js', import.meta.url);

for (const [where, expected] of [
  ['vcpu', 'ERR_VCPU_DIED'],
  ['io', 'ERR_DEVICE_HANDLER'],
] as const) {
  test(`where '${where}'`, async () => {
    await using other = await startSpinning();
    const device = deviceModule(module, { name: 'exiting', pio: { base: 0x10, length: 4 }, where });

    const result = await runGuest(guest, { mode: 32, devices: [device] });

    assert.is(result.reason, 'error');
    assert.is((result.error as HypervisorError).code, expected);
    await untilAllMoved(other, counters(other));
  });
}

test.run();
