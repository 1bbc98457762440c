// HLT on a machine without interrupts ends its vCPU; the machine has finished when the last one has halted.

import * as assert from 'uvu/assert';
import { at, code, jump } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest } from '../run-guest.ts';

const test = kvmSuite('hlt');

const guest = code(
  [0xf4], //       hlt
  [0xe7, 0x10], // out 0x10, eax    never reached
);

test('one vCPU halts, and nothing after the HLT runs', async () => {
  const port = recorder({ pio: { base: 0x10, length: 4 } });

  const result = await runGuest(guest, { mode: 32, devices: [port.device] });

  assert.is(result.reason, 'halt');
  assert.is(result.error, undefined);
  assert.equal(port.accesses, []);
});

const lateGuest = code(
  [0x85, 0xff], //                   test edi, edi     vCPU 0 …
  jump(0x74, 'halt'), //             jz halt           … halts at once
  [0xb9, 0x00, 0x00, 0x02, 0x00], // mov ecx, 0x20000
  [0xe2, 0xfe], //                   loop .            the other one takes a while
  [0xe7, 0x10], //                   out 0x10, eax
  at('halt'),
  [0xf4], //                         hlt
);

test('the machine waits for the vCPU that halts last', async () => {
  const port = recorder({ pio: { base: 0x10, length: 4 } });

  const result = await runGuest(lateGuest, { mode: 32, vcpus: 2, devices: [port.device] });

  assert.is(result.reason, 'halt');
  assert.is(port.accesses.length, 1);
});

test.run();
