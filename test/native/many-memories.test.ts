// A thousand guest memories: nothing is left of them, disposed of or merely forgotten.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runHazard } from './run-hazard.ts';

const test = suite('a thousand memories');

for (const way of ['dispose', 'forget']) {
  test(way, async () => {
    const child = await runHazard('many-memories', { args: [way], nodeArgs: ['--expose-gc'] });
    const left = JSON.parse(/^LEFT (.*)$/m.exec(child.stdout)?.[1] ?? '{}');

    assert.is(child.code, 0, child.stderr);
    assert.is(left.fds, 0);
    assert.is(left.threads, 0);
    // V8's own heap grows by some mappings; each memory has two of its own.
    assert.ok(left.mappings < 300, `${left.mappings} mappings more`);
  });
}

test.run();
