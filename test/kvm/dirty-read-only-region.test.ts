// Hazard: read-only regions, and regions that are split by protection and joined again while their pages are dirty.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';
import { codeOf } from '../errors.ts';

const PAGE = 4096;
const FIRST = 0x1000;

forEachSetup('dirty: read-only regions', (test, setup) => {
  test('what may not be written is not dirty; a raw store, which nothing forbids, is for who sees it', async () => {
    await using tracked = await setup.open(memory => memory.addRegion(FIRST * PAGE, 9 * PAGE, { readOnly: true }));
    for (const kind of tracked.kinds) {
      const code = await codeOf(() => tracked.write(kind, (FIRST + 2) * PAGE));
      assert.is(code, kind === 'api' ? 'ERR_MEMORY_READ_ONLY' : 'no error', kind);
      assert.equal(await tracked.dirty(), kind === 'raw' ? [[FIRST + 2, 1]] : [], kind);
    }
  });

  test('split and joined: dirty pages stay dirty, and all parts are tracked', async () => {
    await using tracked = await setup.open(memory => memory.addRegion(FIRST * PAGE, 131 * PAGE));
    const { memory } = tracked;
    for (const kind of tracked.kinds) {
      tracked.write(kind, (FIRST + 66) * PAGE);
      memory.setReadOnly((FIRST + 65) * PAGE, 3 * PAGE, true);
      tracked.write(kind, FIRST * PAGE);
      tracked.write(kind, (FIRST + 130) * PAGE);
      assert.equal(
        await tracked.dirty(),
        [
          [FIRST, 1],
          [FIRST + 66, 1],
          [FIRST + 130, 1],
        ],
        kind,
      );
      tracked.write(kind, (FIRST + 68) * PAGE);
      memory.setReadOnly((FIRST + 65) * PAGE, 3 * PAGE, false);
      tracked.write(kind, (FIRST + 65) * PAGE);
      assert.equal(
        await tracked.dirty(),
        [
          [FIRST + 65, 1],
          [FIRST + 68, 1],
        ],
        kind,
      );
    }
  });
});
