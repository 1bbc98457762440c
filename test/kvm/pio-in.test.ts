// IN in each of its three sizes: the device's answer is cut to the size and changes that much of eax only.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest, words32 } from '../run-guest.ts';

const test = kvmSuite('pio in');

const guest = code(
  [0xb8, 0xff, 0xff, 0xff, 0xff], // mov eax, 0xffffffff
  [0xe4, 0x10], //                   in al, 0x10
  [0xa3, 0x00, 0x20, 0x00, 0x00], // mov [0x2000], eax
  [0xb8, 0xff, 0xff, 0xff, 0xff], // mov eax, 0xffffffff
  [0x66, 0xe5, 0x11], //             in ax, 0x11
  [0xa3, 0x04, 0x20, 0x00, 0x00], // mov [0x2004], eax
  [0x66, 0xba, 0x12, 0x00], //       mov dx, 0x12
  [0xed], //                         in eax, dx
  [0xa3, 0x08, 0x20, 0x00, 0x00], // mov [0x2008], eax
  [0xf4], //                         hlt
);

test('the guest receives 8, 16 and 32 bits of what the device answers', async () => {
  const port = recorder({ pio: { base: 0x10, length: 8 } }, () => 0x8abb_ccdd);
  let received: number[] = [];

  await runGuest(guest, { mode: 32, devices: [port.device] }, vm => {
    received = words32(vm, 0x2000, 3);
  });

  assert.equal(received, [0xffff_ffdd, 0xffff_ccdd, 0x8abb_ccdd]);
  assert.equal(
    port.accesses.map(({ op, offset, size }) => [op, offset, size]),
    [
      ['read', 0, 1],
      ['read', 1, 2],
      ['read', 2, 4],
    ],
  );
});

test.run();
