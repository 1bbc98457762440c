// A flat guest in 16-bit start mode runs in real mode: no protection, 16-bit operands, segments of 16 bytes' grain.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest } from '../run-guest.ts';

const test = kvmSuite('real mode');

const CR0_PE = 1;

const guest = code(
  [0x0f, 0x01, 0xe0], //                   smsw ax          the low half of CR0
  [0xe7, 0x10], //                         out 0x10, ax
  [0xb8, 0x34, 0x12], //                   mov ax, 0x1234
  [0x8e, 0xc0], //                         mov es, ax       base 0x12340
  [0x26, 0xc6, 0x06, 0x10, 0x20, 0x5a], // mov byte ptr es:[0x2010], 0x5a
  [0x89, 0xf8], //                         mov ax, di       the vCPU's index
  [0xe7, 0x10], //                         out 0x10, ax
  [0xf4], //                               hlt
);

test('16-bit code runs without protection and addresses through segments', async () => {
  const port = recorder({ pio: { base: 0x10, length: 2 } });
  const stored = new Uint8Array(1);

  const result = await runGuest(guest, { mode: 16, devices: [port.device] }, vm =>
    vm.memory.read(0x12340 + 0x2010, stored),
  );

  assert.is(result.reason, 'halt');
  assert.equal(
    port.accesses.map(({ size }) => size),
    [2, 2],
  );
  assert.is(Number(port.written[0]) & CR0_PE, 0);
  assert.is(port.written[1], 0);
  assert.is(stored[0], 0x5a);
});

test.run();
