// REP INS: the device is asked once for every item, and each answer lands in the guest's string, in order.

import * as assert from 'uvu/assert';
import { code, le32 } from '../guest-code.ts';
import { kvmSuite } from '../harness.ts';
import { recorder, runGuest } from '../run-guest.ts';

const test = kvmSuite('rep ins');

const STRING = 0x2_0000;
const COUNT = 1500;

const guest = (ins: readonly number[]) =>
  code(
    [0xfc], //                   cld
    [0xbf, ...le32(STRING)], //  mov edi, STRING
    [0xb9, ...le32(COUNT)], //   mov ecx, COUNT
    [0x66, 0xba, 0x10, 0x00], // mov dx, 0x10
    ins, //                      rep insb | insw | insd
    [0xf4], //                   hlt
  );

const answers = (scale: number) => Array.from({ length: COUNT }, (_, index) => (index * scale) >>> 0);

const sizes = [
  { name: 'insb', size: 1, ins: [0xf3, 0x6c], scale: 3, items: (raw: ArrayBuffer) => new Uint8Array(raw), mask: 0xff },
  {
    name: 'insw',
    size: 2,
    ins: [0x66, 0xf3, 0x6d],
    scale: 0x101,
    items: (raw: ArrayBuffer) => new Uint16Array(raw),
    mask: 0xffff,
  },
  {
    name: 'insd',
    size: 4,
    ins: [0xf3, 0x6d],
    scale: 0x10_0001,
    items: (raw: ArrayBuffer) => new Uint32Array(raw),
    mask: 0xffff_ffff,
  },
] as const;

for (const { name, size, ins, scale, items, mask } of sizes) {
  test(`rep ${name} fills a string of ${COUNT} items`, async () => {
    let next = 0;
    const port = recorder({ pio: { base: 0x10, length: 4 } }, () => (scale * next++) >>> 0);
    const raw = new Uint8Array(COUNT * size + 4);

    const result = await runGuest(guest(ins), { mode: 32, devices: [port.device] }, vm => vm.memory.read(STRING, raw));

    assert.is(result.reason, 'halt');
    assert.is(port.accesses.length, COUNT);
    assert.equal(
      Array.from(items(raw.slice(0, COUNT * size).buffer)),
      answers(scale).map(value => (value & mask) >>> 0),
    );
    assert.equal(Array.from(raw.slice(COUNT * size)), [0, 0, 0, 0]);
  });
}

test.run();
