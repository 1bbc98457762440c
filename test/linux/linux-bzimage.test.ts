// Debian's kernel as it is shipped, a bzImage that decompresses itself: boots to its first process on 1, 2 and 4 vCPUs and powers off.

import * as assert from 'uvu/assert';
import { BZIMAGE, bootLinux, facts, linuxSuite } from '../linux-guest.ts';

const test = linuxSuite('linux from bzImage');

for (const vcpus of [1, 2, 4]) {
  test(`${vcpus} vCPUs`, async () => {
    const { result, text } = await bootLinux({ kernel: BZIMAGE, vcpus, job: 'echo processors=$(nproc)' });
    assert.is(result.reason, 'power-off', `${result.error?.message}\n${text}`);
    assert.is(facts(text).get('processors'), String(vcpus));
  });
}

test.run();
