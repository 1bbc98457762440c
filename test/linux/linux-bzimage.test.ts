// Debian's kernel as it is shipped, a bzImage that decompresses itself, on 1, 2 and 4 vCPUs: the same as from ELF.

import { BZIMAGE, linuxSuite } from '../linux-guest.ts';
import { bootWhole } from '../linux-whole-boot.ts';

const test = linuxSuite('linux from bzImage');

for (const vcpus of [1, 2, 4]) {
  test(`${vcpus} vCPUs`, async () => {
    await bootWhole({ kernel: BZIMAGE, vcpus });
  });
}

test.run();
