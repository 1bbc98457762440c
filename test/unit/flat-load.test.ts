// Where flat images and their tables and stacks go: from 64 KiB to 64 GiB of RAM; what does not fit changes nothing.

import { flat, KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { load, refusedLoad } from '../images.ts';

const test = suite('flat load');
const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const code = Uint8Array.of(1, 2, 3, 4);

for (const size of [64 * KIB, MIB, 3 * GIB, 64 * GIB]) {
  test(`long mode in ${size / KIB} KiB: stacks and tables lie in RAM below 3 GiB, apart from each other`, async () => {
    using memory = new KvmMemory(size);
    const boots = await load(flat(code, { at: 0x1000, mode: 64 }), memory, 2);
    const read = new Uint8Array(4);
    memory.read(0x1000, read);
    assert.equal(read, code);
    const top = BigInt(Math.min(size, 3 * GIB));
    const stacks = boots.map(boot => boot.regs?.rsp ?? 0n);
    assert.is(stacks.length, 2);
    for (const rsp of stacks) assert.ok(rsp < top && rsp % 16n === 8n);
    assert.ok((stacks[1] ?? 0n) - (stacks[0] ?? 0n) >= 4096n);
    assert.ok((boots[0]?.sregs?.cr3 ?? top) < (stacks[0] ?? 0n));
    assert.equal(
      boots.map(boot => boot.regs?.rdi),
      [0n, 1n],
    );
  });
}

test('real mode: cs:ip reaches the entry, stacks are below 640 KiB', async () => {
  using memory = new KvmMemory(2 * MIB);
  const image = flat(code, { at: 0x2_3000, entry: 0x2_3002, mode: 16 });
  const [boot] = await load(image, memory);
  assert.is(boot?.sregs?.cs?.base, 0x2_0000n);
  assert.is(boot?.sregs?.cs?.selector, 0x2000);
  assert.is(boot?.regs?.rip, 0x3002n);
  const stack = boot?.sregs?.ss;
  assert.is(stack?.base, BigInt((stack?.selector ?? 0) * 16));
  assert.ok((stack?.base ?? 0n) + (boot?.regs?.rsp ?? 0n) <= 0xa_0000n);
});

test('the caller may change its bytes afterwards', async () => {
  using memory = new KvmMemory(MIB);
  const mine = new Uint8Array(code);
  const image = flat(mine, { at: 0x1000, mode: 64 });
  mine.fill(0xff);
  await load(image, memory);
  const read = new Uint8Array(4);
  memory.read(0x1000, read);
  assert.equal(read, code);
});

test('an image spans adjacent regions', async () => {
  using memory = new KvmMemory(MIB);
  memory.addRegion(MIB, MIB);
  await load(flat(code, { at: MIB - 2, mode: 64 }), memory);
  const read = new Uint8Array(4);
  memory.read(MIB - 2, read);
  assert.equal(read, code);
});

const refusals: [string, () => ReturnType<typeof refusedLoad>][] = [
  ['an image behind RAM', () => refusedLoad(flat(code, { at: 2 * MIB, mode: 64 }), MIB)],
  ['an image that leaves RAM', () => refusedLoad(flat(code, { at: MIB - 2, mode: 64 }), MIB)],
  ['an image in the boot area', () => refusedLoad(flat(code, { at: MIB - 4096, mode: 64 }), MIB)],
  ['an image as large as RAM', () => refusedLoad(flat(new Uint8Array(MIB), { at: 0, mode: 64 }), MIB)],
  ['RAM too small for tables', () => refusedLoad(flat(code, { at: 0, mode: 64 }), 16 * KIB)],
  ['RAM too small for stacks', () => refusedLoad(flat(code, { at: 0, mode: 64 }), 64 * KIB, 32)],
  ['an image in the real-mode stacks', () => refusedLoad(flat(code, { at: 0x9_fffc, mode: 16 }), MIB)],
];
for (const [name, refuse] of refusals) {
  test(`${name}: ERR_IMAGE_RANGE, and nothing was written`, async () => {
    const error = await refuse();
    assert.is(error.code, 'ERR_IMAGE_RANGE');
    assert.match(error.message, /0x[0-9a-f]+/);
  });
}

test('an image over read-only memory: ERR_IMAGE_RANGE', async () => {
  using memory = new KvmMemory(MIB);
  memory.setReadOnly(0x2000, 0x1000, true);
  const failed = await load(flat(code, { at: 0x1ffe, mode: 64 }), memory).then(
    () => undefined,
    error => error,
  );
  assert.is(failed?.code, 'ERR_IMAGE_RANGE');
});

test('a real-mode entry above 1 MiB: ERR_OUT_OF_RANGE', async () => {
  assert.is((await refusedLoad(flat(code, { at: MIB, mode: 16 }), 2 * MIB)).code, 'ERR_OUT_OF_RANGE');
});

test.run();
