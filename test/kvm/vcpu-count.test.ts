// One, two and eight vCPUs (more than this machine may have cores): each starts once, with its own index and its own stack.

import * as assert from 'uvu/assert';
import { code } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest, words32 } from '../run-guest.ts';

const test = kvmSuite('vCPU count');

const SEEN = 0x2000;

const guest = code(
  [0xf0, 0xff, 0x04, 0xbd, 0x00, 0x20, 0x00, 0x00], // lock inc dword ptr [SEEN + rdi*4]
  [0x57], //                                           push rdi
  [0x58], //                                           pop rax
  [0xe7, 0x10], //                                     out 0x10, eax
  [0x89, 0xe0], //                                     mov eax, esp
  [0xe7, 0x14], //                                     out 0x14, eax
  [0xf4], //                                           hlt
);

for (const vcpus of [1, 2, 8]) {
  test(`${vcpus} vCPUs: each index once, each stack once`, async () => {
    const port = recorder({ pio: { base: 0x10, length: 8 } });
    const at = (offset: number) =>
      port.accesses.filter(access => access.offset === offset).map(access => Number(access.value));
    const each = Array.from({ length: vcpus }, (_, index) => index);
    let seen: number[] = [];

    const result = await runGuest(guest, { mode: 64, vcpus, devices: [port.device] }, vm => {
      seen = words32(vm, SEEN, vcpus + 1);
    });

    assert.is(result.reason, 'halt');
    assert.equal(seen, [...each.map(() => 1), 0]);
    assert.equal(at(0).sort(), each);
    assert.is(new Set(at(4)).size, vcpus);
  });
}

test.run();
