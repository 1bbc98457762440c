// Hazard: holes between regions. Ranges end at them, and what a guest stores into one dirties nothing.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';

const PAGE = 4096;
const LOW = 0x1000;
const HIGH = 0x1005;

forEachSetup('dirty: holes', (test, setup) => {
  test('pages on both sides of a hole are two ranges', async () => {
    await using tracked = await setup.open(memory => {
      memory.addRegion(LOW * PAGE, 2 * PAGE);
      memory.addRegion(HIGH * PAGE, 2 * PAGE);
    });
    for (const kind of tracked.kinds) {
      for (const page of [LOW, LOW + 1, HIGH, HIGH + 1]) tracked.write(kind, page * PAGE);
      assert.equal(
        await tracked.dirty(),
        [
          [LOW, 2],
          [HIGH, 2],
        ],
        kind,
      );
    }
    if (!setup.withGuest) return;
    tracked.write('guest', (LOW + 3) * PAGE);
    assert.equal(await tracked.dirty(), []);
    assert.ok((tracked.vm?.stats().total.exitsByReason['mmio'] ?? 0) > 0, 'the store into the hole is an MMIO exit');
  });
});
