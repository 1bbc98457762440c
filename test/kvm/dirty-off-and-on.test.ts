// Hazard: tracking is turned off and on while vCPUs run. What was recorded is kept, what is written meanwhile is not recorded.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';

const PAGE = 4096;
const FIRST = 0x1000;

forEachSetup('dirty: off and on', (test, setup) => {
  test('pages from before are kept, those in between are not, those after are', async () => {
    await using tracked = await setup.open(memory => memory.addRegion(FIRST * PAGE, 100 * PAGE));
    const { memory } = tracked;
    for (const kind of tracked.kinds) {
      tracked.write(kind, (FIRST + 1) * PAGE);
      memory.disableDirtyTracking();
      tracked.write(kind, (FIRST + 50) * PAGE);
      // The ring's size was chosen with the machine.
      const { ringEntries: _, ...tracking } = setup.tracking;
      memory.enableDirtyTracking(tracking);
      tracked.write(kind, (FIRST + 99) * PAGE);
      assert.equal(
        await tracked.dirty(),
        [
          [FIRST + 1, 1],
          [FIRST + 99, 1],
        ],
        kind,
      );
    }
  });

  test('a cursor of its own keeps its pages too', async () => {
    await using tracked = await setup.open(memory => memory.addRegion(FIRST * PAGE, 100 * PAGE));
    const { memory } = tracked;
    using cursor = memory.dirtyCursor('other');
    tracked.write('api', (FIRST + 1) * PAGE);
    memory.disableDirtyTracking();
    const { ringEntries: _, ...tracking } = setup.tracking;
    memory.enableDirtyTracking(tracking);
    await tracked.dirty();
    await tracked.atRest(() => {
      using harvest = cursor.harvest();
      assert.ok(harvest.ranges().some(({ guestAddr }) => guestAddr === (FIRST + 1) * PAGE));
      harvest.commit();
    });
  });
});
