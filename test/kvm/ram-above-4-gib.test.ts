// RAM of more than 3 GiB goes on at 4 GiB: the guest writes there, the host reads it, and the hole between stays empty.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { END, runGuest, words32 } from '../run-guest.ts';

const test = kvmSuite('RAM above 4 GiB');

const GIB = 2 ** 30;

const guest = code(
  [0x48, 0xb8, 0x10, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00], // mov rax, 0x100000010    the first page above the hole
  [0xc7, 0x00, 0x11, 0x11, 0x11, 0x11], //                         mov dword ptr [rax], 0x11111111
  [0x48, 0xb8, 0xfc, 0xff, 0xff, 0x7f, 0x01, 0x00, 0x00, 0x00], // mov rax, 0x17ffffffc    the last word
  [0xc7, 0x00, 0x22, 0x22, 0x22, 0x22], //                         mov dword ptr [rax], 0x22222222
  [0xb8, 0xfc, 0xff, 0xff, 0xbf], //                               mov eax, 0xbffffffc     the last word below the hole
  [0xc7, 0x00, 0x33, 0x33, 0x33, 0x33], //                         mov dword ptr [rax], 0x33333333
  [0xb8, 0x00, 0x00, 0x00, 0xc0], //                               mov eax, 0xc0000000     the hole
  [0x8b, 0x00], //                                                 mov eax, [rax]
  [0xa3, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00], //       mov [0x2000], eax
  [0xe7, END], //                                                  out END, eax
);

for (const cpl of [0, 3] as const) {
  test(`ring ${cpl}: a guest of 5 GiB uses both pieces`, async () => {
    let words: number[] = [];

    const result = await runGuest(guest, { mode: 64, cpl, memory: 5 * GIB }, vm => {
      words = [0x1_0000_0010, 0x1_7fff_fffc, 0xbfff_fffc, 0x2000].flatMap(addr => words32(vm, addr, 1));
      assert.equal(
        vm.memory.regions().map(region => [Number(region.guestAddr), Number(region.size)]),
        [
          [0, 3 * GIB],
          [4 * GIB, 2 * GIB],
        ],
      );
    });

    assert.is(result.reason, 'stopped');
    assert.equal(words, [0x1111_1111, 0x2222_2222, 0x3333_3333, 0xffff_ffff]);
  });
}

test.run();
