// OUT in each of its three sizes reaches the device whose ports it names, with its offset, its size and its value.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest } from '../run-guest.ts';

const test = kvmSuite('pio out');

const guest = code(
  [0xb8, 0xde, 0xbc, 0x9a, 0xf8], // mov eax, 0xf89abcde
  [0xe6, 0x10], //                   out 0x10, al
  [0x66, 0xe7, 0x12], //             out 0x12, ax
  [0xe7, 0x14], //                   out 0x14, eax
  [0x66, 0xba, 0x34, 0x12], //       mov dx, 0x1234
  [0xee], //                         out dx, al
  [0x66, 0xef], //                   out dx, ax
  [0xef], //                         out dx, eax
  [0xf4], //                         hlt
);

test('a device sees 8, 16 and 32 bits, by immediate port and by dx', async () => {
  const low = recorder({ pio: { base: 0x10, length: 8 } });
  const high = recorder({ pio: { base: 0x1230, length: 8 } });

  const result = await runGuest(guest, { mode: 32, devices: [low.device, { ...high.device, name: 'high' }] });

  assert.is(result.reason, 'halt');
  assert.equal(low.accesses, [
    { op: 'write', offset: 0, size: 1, value: 0xde },
    { op: 'write', offset: 2, size: 2, value: 0xbcde },
    { op: 'write', offset: 4, size: 4, value: 0xf89a_bcde },
  ]);
  assert.equal(high.accesses, [
    { op: 'write', offset: 4, size: 1, value: 0xde },
    { op: 'write', offset: 4, size: 2, value: 0xbcde },
    { op: 'write', offset: 4, size: 4, value: 0xf89a_bcde },
  ]);
});

test.run();
