// Hazard: a harvest while vCPUs run leaves writes to the next one; a harvest at rest leaves nothing.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';
import { until } from '../run-guest.ts';

const PAGE = 4096;
const FIRST = 0x1000;
const PAGES = 70;

forEachSetup('dirty: final harvest', (test, setup) => {
  test('the last word of each page reaches the copy, however harvests and writes fall', async () => {
    await using tracked = await setup.open(memory => memory.addRegion(FIRST * PAGE, PAGES * PAGE));
    const { memory } = tracked;
    const live = memory.view(FIRST * PAGE, PAGES * PAGE);
    const copy = new Uint8Array(PAGES * PAGE);
    const replay = () => {
      using harvest = memory.harvest();
      for (const { guestAddr, size } of harvest.ranges()) {
        const from = guestAddr - FIRST * PAGE;
        if (from >= 0) copy.set(live.subarray(from, from + size), from);
      }
      harvest.commit();
    };
    for (let value = 1; value <= 150; value++) {
      const kind = tracked.kinds[value % tracked.kinds.length] ?? 'api';
      tracked.write(kind, (FIRST + ((value * 31) % PAGES)) * PAGE + (value % 512) * 8, BigInt(value));
      if (value % 7 === 0) replay();
      if (value % 50 !== 0) continue;
      await tracked.atRest(replay);
      assert.is(Buffer.compare(live, copy), 0, `after value ${value}`);
      assert.equal(await tracked.dirty(), []);
    }
  });

  if (!setup.withGuest) return;
  test('paused and resumed: a vCPU that goes on is recorded again', async () => {
    await using tracked = await setup.open(memory => memory.addRegion(FIRST * PAGE, PAGES * PAGE));
    tracked.write('guest', FIRST * PAGE);
    assert.equal(await tracked.dirty(), [[FIRST, 1]]);
    await tracked.atRest(() =>
      assert.is(
        tracked.memory.getDirtyPages().some(({ guestAddr }) => guestAddr === FIRST * PAGE),
        false,
      ),
    );
    tracked.write('guest', FIRST * PAGE);
    await until(() => tracked.memory.view(FIRST * PAGE, 1)[0] === 0x88, 'the store is there');
    assert.equal(await tracked.dirty(), [[FIRST, 1]]);
  });
});
