// Hazard: a region goes while a harvest is open. It stays in that harvest, its memory stays readable, and if the same memory comes
// back, so do the pages of it that nobody has harvested.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';

const PAGE = 4096;
const STAYS = 0x1000;
const GOES = 0x2000;
const prepare = (memory: { addRegion(at: number, size: number): bigint }) => {
  memory.addRegion(STAYS * PAGE, 5 * PAGE);
  memory.addRegion(GOES * PAGE, 70 * PAGE);
};

forEachSetup('dirty: removed mid-harvest', (test, setup) => {
  test('the open harvest still names its pages; the next one does not', async () => {
    await using tracked = await setup.open(prepare);
    const { memory, kinds } = tracked;
    for (const kind of kinds) {
      tracked.write(kind, STAYS * PAGE);
      tracked.write(kind, (GOES + 69) * PAGE, 0x77n);
      await tracked.atRest(() => {
        using harvest = memory.harvest();
        const view = memory.view(GOES * PAGE, 70 * PAGE);
        memory.removeRegion(GOES * PAGE);
        const ranges = harvest.ranges().filter(({ guestAddr }) => guestAddr >= STAYS * PAGE);
        assert.equal(
          ranges,
          [
            { guestAddr: STAYS * PAGE, size: PAGE },
            { guestAddr: (GOES + 69) * PAGE, size: PAGE },
          ],
          kind,
        );
        assert.is(view[69 * PAGE], 0x77, kind);
        harvest.abort();
      });
      assert.equal(await tracked.dirty(), [[STAYS, 1]], kind);
      memory.addRegion(GOES * PAGE, 70 * PAGE);
      assert.equal(await tracked.dirty(), [], kind);
    }
  });

  for (const end of ['abort', 'commit'] as const) {
    test(`the same memory comes back after ${end}(): exactly its pages that nobody dealt with`, async () => {
      await using tracked = await setup.open(prepare);
      const { memory, kinds } = tracked;
      for (const kind of kinds) {
        tracked.write(kind, (GOES + 1) * PAGE);
        await tracked.atRest(() => {
          using harvest = memory.harvest();
          const region = memory.regions().find(({ guestAddr }) => guestAddr === GOES * PAGE);
          // After the harvest began, before the region goes: the last pages are taken from the source.
          if (kind !== 'guest') tracked.write(kind, (GOES + 3) * PAGE);
          memory.removeRegion(GOES * PAGE);
          memory.addExternalRegion(GOES * PAGE, region?.hostAddr ?? 0n, 70 * PAGE, false);
          harvest[end]();
        });
        const later = kind === 'guest' ? [] : [[GOES + 3, 1]];
        assert.equal(await tracked.dirty(), [...(end === 'abort' ? [[GOES + 1, 1]] : []), ...later], kind);
      }
    });
  }

  test('written while its memory is a region of no guest, through no API: only what came before counts', async () => {
    await using tracked = await setup.open(prepare);
    const { memory } = tracked;
    for (const kind of tracked.kinds) {
      tracked.write(kind, (GOES + 5) * PAGE);
      const region = memory.regions().find(({ guestAddr }) => guestAddr === GOES * PAGE);
      memory.removeRegion(GOES * PAGE);
      if (setup.withGuest) tracked.write('guest', (GOES + 6) * PAGE); // an MMIO exit
      memory.addExternalRegion(GOES * PAGE, region?.hostAddr ?? 0n, 70 * PAGE, false);
      tracked.write(kind, (GOES + 7) * PAGE);
      assert.equal(
        await tracked.dirty(),
        [
          [GOES + 5, 1],
          [GOES + 7, 1],
        ],
        kind,
      );
    }
  });
});
