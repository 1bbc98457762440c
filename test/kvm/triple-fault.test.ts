// An exception that the guest has no handler for, while it has none for that either, is a triple fault: reason 'shutdown'.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { runGuest } from '../run-guest.ts';

const test = kvmSuite('triple fault');

const guest = code(
  [0x0f, 0x0b], // ud2    the IDT is empty
);

for (const { mode, cpl } of [
  { mode: 32, cpl: 0 },
  { mode: 64, cpl: 0 },
  { mode: 64, cpl: 3 },
] as const) {
  test(`mode ${mode}, ring ${cpl}: the machine shuts down and says which vCPU did it`, async () => {
    const result = await runGuest(guest, { mode, cpl });

    assert.is(result.reason, 'shutdown');
    assert.is(result.vcpu, 0);
  });
}

test.run();
