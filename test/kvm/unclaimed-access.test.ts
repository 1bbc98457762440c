// Ports and addresses that no device claims: reads give all ones, writes vanish, and the guest goes on.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { runGuest, words32 } from '../run-guest.ts';

const test = kvmSuite('unclaimed access');

const guest = code(
  [0x31, 0xc0], //                                                 xor eax, eax
  [0xe4, 0x80], //                                                 in al, 0x80
  [0xa3, 0x00, 0x20, 0x00, 0x00], //                               mov [0x2000], eax
  [0x31, 0xc0], //                                                 xor eax, eax
  [0x66, 0xe5, 0x80], //                                           in ax, 0x80
  [0xa3, 0x04, 0x20, 0x00, 0x00], //                               mov [0x2004], eax
  [0xe5, 0x80], //                                                 in eax, 0x80
  [0xa3, 0x08, 0x20, 0x00, 0x00], //                               mov [0x2008], eax
  [0xa1, 0x00, 0x00, 0x00, 0xd0], //                               mov eax, [0xd0000000]
  [0xa3, 0x0c, 0x20, 0x00, 0x00], //                               mov [0x200c], eax
  [0xe7, 0x80], //                                                 out 0x80, eax
  [0xa3, 0x00, 0x00, 0x00, 0xd0], //                               mov [0xd0000000], eax
  [0xc7, 0x05, 0x10, 0x20, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00], // mov dword ptr [0x2010], 1
  [0xf4], //                                                       hlt
);

test('reads are all ones in each size, writes do nothing', async () => {
  let seen: number[] = [];

  const result = await runGuest(guest, { mode: 32 }, vm => {
    seen = words32(vm, 0x2000, 5);
  });

  assert.is(result.reason, 'halt');
  assert.equal(seen, [0xff, 0xffff, 0xffff_ffff, 0xffff_ffff, 1]);
});

test.run();
