// Stores of 1, 2, 4 and 8 bytes to a device's addresses reach it with offset, size and value; 8 bytes as a bigint.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { END, recorder, runGuest } from '../run-guest.ts';

const test = kvmSuite('mmio write');

const guest = code(
  [0x48, 0xb8, 0xf0, 0xde, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x82], // mov rax, 0x823456789abcdef0
  [0xba, 0x00, 0x00, 0x00, 0xd0], //                               mov edx, 0xd0000000
  [0x88, 0x42, 0x01], //                                           mov [rdx+1], al
  [0x66, 0x89, 0x42, 0x02], //                                     mov [rdx+2], ax
  [0x89, 0x42, 0x04], //                                           mov [rdx+4], eax
  [0x48, 0x89, 0x42, 0x08], //                                     mov [rdx+8], rax
  [0xe7, END], //                                                  out END, eax
);

for (const cpl of [0, 3] as const) {
  test(`ring ${cpl}: a device sees stores of 1, 2, 4 and 8 bytes`, async () => {
    const device = recorder({ mmio: { base: 0xd000_0000, length: 0x1000 } });

    const result = await runGuest(guest, { mode: 64, cpl, devices: [device.device] });

    assert.is(result.reason, 'stopped');
    assert.equal(device.accesses, [
      { op: 'write', offset: 1, size: 1, value: 0xf0 },
      { op: 'write', offset: 2, size: 2, value: 0xdef0 },
      { op: 'write', offset: 4, size: 4, value: 0x9abc_def0 },
      { op: 'write', offset: 8, size: 8, value: 0x8234_5678_9abc_def0n },
    ]);
  });
}

test.run();
