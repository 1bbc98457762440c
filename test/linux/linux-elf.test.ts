// Debian's kernel as an ELF file, entered by PVH: boots to its first process on 1, 2 and 4 vCPUs and powers off.

import * as assert from 'uvu/assert';
import { bootLinux, facts, linuxSuite } from '../linux-guest.ts';

const test = linuxSuite('linux from ELF');
const job = 'echo processors=$(nproc); echo online=$(cat /sys/devices/system/cpu/online)';

for (const vcpus of [1, 2, 4]) {
  test(`${vcpus} vCPUs`, async () => {
    const { result, text, marks } = await bootLinux({ vcpus, job });
    assert.is(result.reason, 'power-off', `${result.error?.message}\n${text}`);
    assert.match(text, /^\[ +0\.000000\] Linux version /);
    assert.is(facts(text).get('processors'), String(vcpus));
    assert.is(facts(text).get('online'), vcpus === 1 ? '0' : `0-${vcpus - 1}`);
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
