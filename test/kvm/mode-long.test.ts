// A flat guest in 64-bit start mode runs in long mode, at the privilege level that was asked for.

import * as assert from 'uvu/assert';
import { at, code, jump } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { END, recorder, runGuest } from '../run-guest.ts';

const test = kvmSuite('long mode');

const guest = code(
  [0x8c, 0xc8], //                                                 mov eax, cs      bits 0-1: the privilege level
  [0xe7, 0x10], //                                                 out 0x10, eax
  [0x48, 0xb8, 0xf0, 0xde, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12], // mov rax, 0x123456789abcdef0
  [0x50], //                                                       push rax
  [0x59], //                                                       pop rcx
  [0x48, 0xc1, 0xe9, 0x20], //                                     shr rcx, 32      only 64-bit registers have these bits
  [0x89, 0xc8], //                                                 mov eax, ecx
  [0xe7, 0x10], //                                                 out 0x10, eax
  [0xe7, END], //                                                  out END, eax
  at('never'),
  jump(0xeb, 'never'), //                                          jmp never
);

for (const cpl of [0, 3] as const) {
  test(`64-bit code runs at ring ${cpl}`, async () => {
    const port = recorder({ pio: { base: 0x10, length: 4 } });

    const result = await runGuest(guest, { mode: 64, cpl, devices: [port.device] });

    assert.is(result.reason, 'stopped');
    assert.is(Number(port.written[0]) & 3, cpl);
    assert.is(port.written[1], 0x1234_5678);
  });
}

test.run();
