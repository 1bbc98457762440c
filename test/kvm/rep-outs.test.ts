// REP OUTS: every item of the string reaches the device, in order, whatever KVM batches (the seed dropped all but one).

import * as assert from 'uvu/assert';
import { code, le32 } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest } from '../run-guest.ts';

const test = kvmSuite('rep outs');

const STRING = 0x2_0000;
const bytes = Uint8Array.from({ length: 6000 }, (_, index) => (index * 7) & 0xff);

const guest = (count: number, outs: readonly number[]) =>
  code(
    [0xfc], //                   cld
    [0xbe, ...le32(STRING)], //  mov esi, STRING
    [0xb9, ...le32(count)], //   mov ecx, count
    [0x66, 0xba, 0x10, 0x00], // mov dx, 0x10
    outs, //                     rep outsb | outsw | outsd
    [0xf4], //                   hlt
  );

const sizes = [
  { name: 'outsb', size: 1, outs: [0xf3, 0x6e], items: () => Array.from(bytes) },
  { name: 'outsw', size: 2, outs: [0x66, 0xf3, 0x6f], items: () => Array.from(new Uint16Array(bytes.slice().buffer)) },
  { name: 'outsd', size: 4, outs: [0xf3, 0x6f], items: () => Array.from(new Uint32Array(bytes.slice().buffer)) },
] as const;

for (const { name, size, outs, items } of sizes) {
  test(`rep ${name} hands over each item of a string that is longer than a page`, async () => {
    const port = recorder({ pio: { base: 0x10, length: 4 } });
    const expected = items();

    const result = await runGuest(guest(expected.length, outs), {
      mode: 32,
      devices: [port.device],
      onLoaded: vm => vm.memory.write(STRING, bytes),
    });

    assert.is(result.reason, 'halt');
    assert.equal(port.written, expected);
    assert.ok(port.accesses.every(access => access.size === size && access.offset === 0));
  });
}

test.run();
