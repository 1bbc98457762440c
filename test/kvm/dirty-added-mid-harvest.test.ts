// Hazard: a region comes while a harvest is open. It is tracked from its first write on, and is the next harvest's.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';
import { codeOf } from '../errors.ts';

const PAGE = 4096;
const OLD = 0x1000;
const NEW = 0x2000;

forEachSetup('dirty: added mid-harvest', (test, setup) => {
  for (const end of ['abort', 'commit'] as const) {
    test(`not in the open harvest, and whole in the next one, after ${end}()`, async () => {
      await using tracked = await setup.open(memory => memory.addRegion(OLD * PAGE, 5 * PAGE));
      const { memory } = tracked;
      for (const kind of tracked.kinds) {
        tracked.write(kind, OLD * PAGE);
        using harvest = memory.harvest();
        memory.addRegion(NEW * PAGE, 65 * PAGE);
        tracked.write(kind, NEW * PAGE);
        tracked.write(kind, (NEW + 64) * PAGE);
        const named = harvest.ranges().filter(({ guestAddr }) => guestAddr >= OLD * PAGE);
        assert.equal(named, [{ guestAddr: OLD * PAGE, size: PAGE }], kind);
        assert.is(await codeOf(() => harvest.bitmap({ guestAddr: NEW * PAGE, size: PAGE })), 'ERR_MEMORY_UNMAPPED');
        harvest[end]();
        assert.equal(await tracked.dirty(), [...(end === 'abort' ? [[OLD, 1]] : []), [NEW, 1], [NEW + 64, 1]], kind);
        memory.removeRegion(NEW * PAGE);
      }
    });
  }

  test('its contents, given when it is added, are dirty', async () => {
    await using tracked = await setup.open();
    tracked.memory.addRegion(NEW * PAGE, 65 * PAGE, { contents: new Uint8Array(2 * PAGE + 1).fill(7) });
    assert.equal(await tracked.dirty(), [[NEW, 3]]);
  });
});
