// Loads of 1, 2, 4 and 8 bytes from a device's addresses: the guest receives the answer, cut to the size.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { END, recorder, runGuest } from '../run-guest.ts';

const test = kvmSuite('mmio read');

const RESULTS = 0x2000;

const guest = code(
  [0xba, 0x00, 0x00, 0x00, 0xd0], // mov edx, 0xd0000000
  [0xbb, 0x00, 0x20, 0x00, 0x00], // mov ebx, RESULTS
  [0x31, 0xc0], //                   xor eax, eax
  [0x8a, 0x42, 0x01], //             mov al, [rdx+1]
  [0x48, 0x89, 0x03], //             mov [rbx], rax
  [0x31, 0xc0], //                   xor eax, eax
  [0x66, 0x8b, 0x42, 0x02], //       mov ax, [rdx+2]
  [0x48, 0x89, 0x43, 0x08], //       mov [rbx+8], rax
  [0x8b, 0x42, 0x04], //             mov eax, [rdx+4]
  [0x48, 0x89, 0x43, 0x10], //       mov [rbx+16], rax
  [0x48, 0x8b, 0x42, 0x08], //       mov rax, [rdx+8]
  [0x48, 0x89, 0x43, 0x18], //       mov [rbx+24], rax
  [0xe7, END], //                    out END, eax
);

for (const cpl of [0, 3] as const) {
  test(`ring ${cpl}: the guest receives 1, 2, 4 and 8 bytes of the answer`, async () => {
    const device = recorder({ mmio: { base: 0xd000_0000, length: 0x1000 } }, () => 0x8123_4567_89ab_cdefn);
    const results = new Uint8Array(32);

    await runGuest(guest, { mode: 64, cpl, devices: [device.device] }, vm => vm.memory.read(RESULTS, results));

    assert.equal(
      device.accesses.map(({ op, offset, size }) => [op, offset, size]),
      [
        ['read', 1, 1],
        ['read', 2, 2],
        ['read', 4, 4],
        ['read', 8, 8],
      ],
    );
    assert.equal(Array.from(new BigUint64Array(results.buffer)), [
      0xefn,
      0xcdefn,
      0x89ab_cdefn,
      0x8123_4567_89ab_cdefn,
    ]);
  });
}

test.run();
