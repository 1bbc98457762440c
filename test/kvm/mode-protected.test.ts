// A flat guest in 32-bit start mode runs in protected mode without paging, with flat segments and a stack.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest, words32 } from '../run-guest.ts';

const test = kvmSuite('protected mode');

const CR0_PE = 1n;
const CR0_PG = 0x8000_0000n;

const guest = code(
  [0x0f, 0x20, 0xc0], //                                           mov eax, cr0
  [0xe7, 0x10], //                                                 out 0x10, eax
  [0xc7, 0x05, 0x00, 0x00, 0x20, 0x00, 0x78, 0x56, 0x34, 0x12], // mov dword ptr [0x200000], 0x12345678
  [0xff, 0x35, 0x00, 0x00, 0x20, 0x00], //                         push dword ptr [0x200000]
  [0x58], //                                                       pop eax
  [0xe7, 0x10], //                                                 out 0x10, eax
  [0xf4], //                                                       hlt
);

test('32-bit code runs with protection, above 1 MiB, and has a stack', async () => {
  const port = recorder({ pio: { base: 0x10, length: 4 } });
  let stored: number[] = [];

  const result = await runGuest(guest, { mode: 32, devices: [port.device] }, vm => {
    stored = words32(vm, 0x20_0000, 1);
  });

  assert.is(result.reason, 'halt');
  assert.is(BigInt(port.written[0] ?? 0) & (CR0_PE | CR0_PG), CR0_PE);
  assert.is(port.written[1], 0x1234_5678);
  assert.equal(stored, [0x1234_5678]);
});

test.run();
