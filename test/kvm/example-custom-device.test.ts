// The example custom-device without Linux: a guest of a few instructions gets from the device what its seed says, each time.

import * as assert from 'uvu/assert';
import { runScript } from '../command.ts';
import { kvmSuite } from '../harness.ts';
import { seededBytes } from '../seeded-rng.ts';

const test = kvmSuite('example custom-device');

for (const seed of ['one', 'another']) {
  test(`seed '${seed}'`, async () => {
    const { status, stdout, stderr } = await runScript('build/examples/custom-device.js', [seed]);
    assert.is(status, 0, stdout + stderr);
    assert.is(stdout, `halt: 32 bytes, ${seededBytes(seed, 32).toString('hex')}\n`);
  });
}

test.run();
