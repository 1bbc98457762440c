// Hazard: the same memory at two guest addresses. A page is dirty at both, through whichever it was written.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';

const PAGE = 4096;
const FIRST = 0x1000;
const ALIAS = 0x2000;
/** The alias shows pages [OFFSET, OFFSET + ALIAS_PAGES) of the first region: at no multiple of 64. */
const OFFSET = 61;
const ALIAS_PAGES = 7;

forEachSetup('dirty: mapped twice', (test, setup) => {
  const open = () =>
    setup.open(memory => {
      const host = memory.addRegion(FIRST * PAGE, 130 * PAGE);
      memory.addExternalRegion(ALIAS * PAGE, host + BigInt(OFFSET * PAGE), ALIAS_PAGES * PAGE, false);
    });

  test('written at either address, dirty at both', async () => {
    await using tracked = await open();
    for (const kind of tracked.kinds) {
      for (const page of [FIRST + OFFSET + 3, ALIAS + 3]) {
        tracked.write(kind, page * PAGE);
        assert.equal(
          await tracked.dirty(),
          [
            [FIRST + OFFSET + 3, 1],
            [ALIAS + 3, 1],
          ],
          `${kind} at page ${page}`,
        );
      }
      tracked.write(kind, FIRST * PAGE);
      assert.equal(await tracked.dirty(), [[FIRST, 1]], kind);
    }
  });

  test('the alias goes: the pages that were written through it are dirty at the other address', async () => {
    await using tracked = await open();
    const kind = setup.withGuest ? 'guest' : 'api';
    tracked.write(kind, (ALIAS + 6) * PAGE);
    tracked.memory.removeRegion(ALIAS * PAGE);
    assert.equal(await tracked.dirty(), [[FIRST + OFFSET + 6, 1]]);
    for (const each of tracked.kinds) {
      tracked.write(each, (FIRST + OFFSET) * PAGE);
      assert.equal(await tracked.dirty(), [[FIRST + OFFSET, 1]], each);
    }
  });
});
