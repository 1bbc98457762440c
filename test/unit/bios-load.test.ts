// A BIOS in memory: read-only below 4 GiB and at 0xe0000; sizes that no BIOS has are refused and change nothing.

import { bios, KvmMemory } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf, load, refusedLoad } from '../images.ts';

const test = suite('bios load');
const KIB = 2 ** 10;
const MIB = 2 ** 20;
const TOP = 2 ** 32;

/** Every byte says which KiB it is in. */
const image = (size: number) => Uint8Array.from({ length: size }, (_, index) => (index / KIB) & 0xff);

for (const kib of [64, 128, 256, 16384]) {
  test(`${kib} KiB: all below 4 GiB, the end below 1 MiB, both read-only`, async () => {
    const bytes = image(kib * KIB);
    using memory = new KvmMemory(2 * MIB);
    const boots = await load(bios(bytes), memory, 3);
    const high = new Uint8Array(bytes.byteLength);
    memory.read(TOP - bytes.byteLength, high);
    assert.ok(Buffer.from(high).equals(bytes));
    const size = Math.min(128 * KIB, bytes.byteLength);
    const low = new Uint8Array(size);
    memory.read(MIB - size, low);
    assert.ok(Buffer.from(low).equals(bytes.subarray(-size)));
    for (const addr of [TOP - 1, TOP - bytes.byteLength, 0xe_0000, 0xf_ffff]) {
      assert.is(
        codeOf(() => memory.memset(addr, 0, 1)),
        'ERR_MEMORY_READ_ONLY',
      );
    }
    memory.memset(0xd_ffff, 1, 1);
    memory.memset(MIB, 1, 1);
    assert.equal(
      boots.map(boot => boot.runnable),
      [true, false, false],
    );
    assert.is(boots[0]?.regs, undefined);
  });
}

for (const size of [0, 1, 64 * KIB - 1, 96 * KIB]) {
  test(`${size} bytes: ERR_IMAGE_FORMAT, and nothing was written`, async () => {
    assert.is((await refusedLoad(bios(new Uint8Array(size)), 2 * MIB)).code, 'ERR_IMAGE_FORMAT');
  });
}

test('more than 16 MiB: ERR_OUT_OF_RANGE', () => {
  assert.is(
    codeOf(() => bios(new Uint8Array(16 * MIB + 64 * KIB))),
    'ERR_OUT_OF_RANGE',
  );
});

test('less than 1 MiB of RAM: ERR_IMAGE_RANGE, and nothing was written', async () => {
  assert.is((await refusedLoad(bios(image(64 * KIB)), 512 * KIB)).code, 'ERR_IMAGE_RANGE');
});

test('a missing file: ERR_IMAGE_READ', async () => {
  assert.is((await refusedLoad(bios('/there/is/no/bios.bin'), 2 * MIB)).code, 'ERR_IMAGE_READ');
});

test('the devices of an image belong to one VM: loading it again is ERR_STATE', async () => {
  const once = bios(image(64 * KIB));
  using first = new KvmMemory(2 * MIB);
  await load(once, first);
  assert.is((await refusedLoad(once, 2 * MIB)).code, 'ERR_STATE');
});

test('wrong options are refused at once', () => {
  assert.is(
    codeOf(() => bios('x', { onDebug: 'x' } as never)),
    'ERR_INVALID_ARG_TYPE',
  );
  assert.is(
    codeOf(() => bios('x', { debug: () => {} } as never)),
    'ERR_UNKNOWN_OPTION',
  );
});

test.run();
