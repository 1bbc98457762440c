// Hazard: regions of a single page, alone and side by side.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';

const PAGE = 4096;
const ALONE = 0x1000;
const NEIGHBOURS = [0x2000, 0x2001, 0x2002];

forEachSetup('dirty: one-page regions', (test, setup) => {
  test('each is reported for itself, neighbours as one range', async () => {
    await using tracked = await setup.open(memory => {
      for (const page of [ALONE, ...NEIGHBOURS]) memory.addRegion(page * PAGE, PAGE);
    });
    for (const kind of tracked.kinds) {
      tracked.write(kind, 0x2001 * PAGE + 8);
      assert.equal(await tracked.dirty(), [[0x2001, 1]], kind);
      for (const page of [ALONE, ...NEIGHBOURS]) tracked.write(kind, page * PAGE + 4088);
      assert.equal(
        await tracked.dirty(),
        [
          [ALONE, 1],
          [0x2000, 3],
        ],
        kind,
      );
    }
  });

  test('a guest that stores over the border of two of them dirties both', async () => {
    await using tracked = await setup.open(memory => {
      for (const page of NEIGHBOURS) memory.addRegion(page * PAGE, PAGE);
    });
    const kind = setup.withGuest ? 'guest' : 'api';
    tracked.write(kind, 0x2001 * PAGE - 4);
    assert.equal(await tracked.dirty(), [[0x2000, 2]]);
  });
});
