// Hazard: addresses, sizes and page numbers beyond 32 bits. The memory is sparse: only what is written is committed.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';

const PAGE = 4096;
const GIB = 2 ** 30;
const START = 5 * GIB;
const SIZE = 6 * GIB + 3 * PAGE;

forEachSetup('dirty: above 4 GiB', (test, setup) => {
  test('a region of more than 4 GiB, above 4 GiB: its first and last pages, and those around each border', async () => {
    await using tracked = await setup.open(memory => memory.addRegion(START, SIZE));
    const borders = [START + 2 * GIB, START + 4 * GIB];
    for (const kind of tracked.kinds) {
      for (const addr of [START, ...borders.flatMap(at => [at - 8, at]), START + SIZE - 8]) tracked.write(kind, addr);
      assert.equal(
        await tracked.dirty(),
        [[START / PAGE, 1], ...borders.map(at => [at / PAGE - 1, 2]), [(START + SIZE) / PAGE - 1, 1]],
        kind,
      );
    }
  });
});
