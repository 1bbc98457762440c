// Debian's kernel as an ELF file, entered by PVH, on 1, 2 and 4 vCPUs: everything that a guest does between its first line and its power-off.

import * as assert from 'uvu/assert';
import { linuxSuite, VMLINUX } from '../linux-guest.ts';
import { bootWhole } from '../linux-whole-boot.ts';

const test = linuxSuite('linux from ELF');

for (const vcpus of [1, 2, 4]) {
  test(`${vcpus} vCPUs`, async () => {
    const { text, marks } = await bootWhole({ kernel: VMLINUX, vcpus });
    assert.match(text, /^\[ +0\.000000\] Linux version /);
    const { create = -1, load = -1, firstInstruction = -1, kernelStart = -1, init = -1 } = marks;
    const order = [0, create, load, firstInstruction, kernelStart, init];
    assert.equal(
      order,
      [...order].sort((a, b) => a - b),
      'each mark is there, in the order of a boot',
    );
  });
}

test.run();
