// Hazard: bitmaps are words of 64 pages, regions are not. First, middle and last pages of sizes around multiples of 64.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';

const PAGE = 4096;
const SIZES = [2, 3, 31, 63, 64, 65, 100, 127, 128, 129, 191];
/** In pages. */
const FIRST = 0x1000;
const DISTANCE = 0x400;

forEachSetup('dirty: odd sizes', (test, setup) => {
  test('the first and the last page of each region, whoever writes', async () => {
    await using tracked = await setup.open(memory => {
      for (const [index, pages] of SIZES.entries()) memory.addRegion((FIRST + index * DISTANCE) * PAGE, pages * PAGE);
    });
    for (const kind of tracked.kinds) {
      for (const [index, pages] of SIZES.entries()) {
        const region = (FIRST + index * DISTANCE) * PAGE;
        tracked.write(kind, region);
        tracked.write(kind, region + pages * PAGE - 8);
      }
      const expected = SIZES.flatMap((pages, index): [number, number][] => {
        const first = FIRST + index * DISTANCE;
        return pages === 2
          ? [[first, 2]]
          : [
              [first, 1],
              [first + pages - 1, 1],
            ];
      });
      assert.equal(await tracked.dirty(), expected, kind);
      assert.equal(await tracked.dirty(), [], kind);
    }
  });

  test('a bitmap has whole words, and no bit beyond its region', async () => {
    await using tracked = await setup.open(memory => memory.addRegion(FIRST * PAGE, 67 * PAGE));
    for (const kind of tracked.kinds) {
      tracked.write(kind, (FIRST + 66) * PAGE);
      await tracked.atRest(() => {
        using harvest = tracked.memory.harvest();
        const bits = harvest.bitmap({ guestAddr: FIRST * PAGE, size: 67 * PAGE });
        assert.equal([...bits], [0, 0, 0, 0, 0, 0, 0, 0, 1 << 2, 0, 0, 0, 0, 0, 0, 0], kind);
        harvest.commit();
      });
    }
  });
});
