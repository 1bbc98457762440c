// Memory that was disposed of goes back to the kernel although nobody calls the collector: V8 knows what hangs on a buffer.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runHazard } from './run-hazard.ts';

const test = suite('disposed memory');

test('16 times 128 MiB, committed and disposed of one after the other', async () => {
  const child = await runHazard('disposed-memory');
  const mib = Number(/^MIB (\d+)$/m.exec(child.stdout)?.[1]);

  assert.is(child.code, 0, child.stderr);
  assert.ok(mib < 1024, `${mib} of 2048 MiB are still resident`);
});

test.run();
