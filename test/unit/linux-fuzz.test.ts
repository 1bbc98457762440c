// Damaged kernels through the whole loader: refused with a coded error and memory unchanged, or loaded with an entry in RAM.

import fc from 'fast-check';
import { KvmMemory, linux } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { contents, load } from '../images.ts';
import { bzImage, ELF_ADDR, elfKernel, pvhNote } from '../linux-kernels.ts';

const test = suite('linux fuzz');
const SIZE = 4 << 20;
const code = new Uint8Array(0x400).fill(0x90);
const initrd = new Uint8Array(5000).fill(1);

const kernels = [
  { what: 'bzImage', file: bzImage(code), first: 0x1f1, last: 0x290 },
  { what: 'ELF', file: elfKernel(code, [pvhNote(BigInt(ELF_ADDR))]), first: 0, last: 0x240 },
] as const;

for (const { what, file, first, last } of kernels) {
  test(`damaged ${what} headers: a coded error and no byte changed, or an entry in RAM`, async () => {
    const seen = { loaded: 0, refused: 0 };
    const place = fc.integer({ min: first, max: last });
    const damage = fc.array(fc.tuple(place, fc.nat({ max: 255 })), { minLength: 1, maxLength: 3 });
    using memory = new KvmMemory(SIZE);
    const property = fc.asyncProperty(damage, async changes => {
      const kernel = new Uint8Array(file);
      for (const [at, value] of changes) kernel[at] = value;
      memory.memset(0, 0x55, SIZE);
      const before = contents(memory);
      try {
        const [boot] = await load(linux({ kernel, initrd, cmdline: 'quiet' }), memory);
        const entry = Number(boot?.regs?.rip ?? -1n);
        assert.ok(entry >= 0x10_0000 && entry < SIZE, `entry ${entry}`);
        seen.loaded += 1;
      } catch (error) {
        const { code: errorCode } = error as { code?: string };
        assert.ok(errorCode === 'ERR_IMAGE_FORMAT' || errorCode === 'ERR_IMAGE_RANGE', String(error));
        assert.ok(contents(memory).equals(before), 'memory changed');
        seen.refused += 1;
      }
    });
    await fc.assert(property, { numRuns: 300 });
    assert.ok(seen.loaded > 0 && seen.refused > 0, JSON.stringify(seen));
  });
}

test.run();
