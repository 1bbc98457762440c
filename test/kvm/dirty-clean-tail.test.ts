// Hazard (Firecracker's bug 5705): a bitmap whose last pages, or last words, are clean; and one in which only the last page is dirty.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';

const PAGE = 4096;
const FIRST = 0x1000;
const SECOND = 0x2000;
/** The last word is a part of one, in the first region, and a whole one in the second. */
const FIRST_PAGES = 200;
const SECOND_PAGES = 256;

forEachSetup('dirty: clean tail', (test, setup) => {
  const cases: readonly { readonly name: string; readonly pages: readonly number[] }[] = [
    { name: 'only the first page is dirty', pages: [0] },
    { name: 'the last word is clean', pages: [0, 63, 64, 127] },
    { name: 'the last page is clean', pages: [FIRST_PAGES - 2] },
    { name: 'only the last page is dirty', pages: [FIRST_PAGES - 1] },
  ];
  test('what is clean at the end of one region moves nothing of the next', async () => {
    await using tracked = await setup.open(memory => {
      memory.addRegion(FIRST * PAGE, FIRST_PAGES * PAGE);
      memory.addRegion(SECOND * PAGE, SECOND_PAGES * PAGE);
    });
    for (const kind of tracked.kinds) {
      for (const { name, pages } of cases) {
        for (const page of pages) tracked.write(kind, (FIRST + page) * PAGE);
        tracked.write(kind, SECOND * PAGE);
        tracked.write(kind, (SECOND + SECOND_PAGES - 1) * PAGE);
        const found = (await tracked.dirty()).flatMap(([page, count]) =>
          Array.from({ length: count }, (_, index) => page + index),
        );
        assert.equal(
          found,
          [...pages.map(page => FIRST + page), SECOND, SECOND + SECOND_PAGES - 1],
          `${kind}: ${name}`,
        );
        assert.equal(await tracked.dirty(), [], `${kind}: ${name}`);
      }
    }
  });
});
