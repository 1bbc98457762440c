// Hazard: more slots than a word has bits, or than somebody's table had entries: 33, then 70, some of them left and taken again.

import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';

const PAGE = 4096;
const FIRST = 0x1000;
const PAGES = 3;
const DISTANCE = 8;

const regionAt = (index: number) => FIRST + index * DISTANCE;
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);

forEachSetup('dirty: many slots', (test, setup) => {
  test('a page in each of 33 regions, then of 70', async () => {
    await using tracked = await setup.open(memory => {
      for (const index of upTo(33)) memory.addRegion(regionAt(index) * PAGE, PAGES * PAGE);
    });
    for (const count of [33, 70]) {
      const { length: present } = tracked.memory.regions();
      // One region is base memory.
      for (let index = present - 1; index < count; index++)
        tracked.memory.addRegion(regionAt(index) * PAGE, PAGES * PAGE);
      for (const kind of tracked.kinds) {
        for (const index of upTo(count)) tracked.write(kind, (regionAt(index) + (index % PAGES)) * PAGE);
        assert.equal(
          await tracked.dirty(),
          upTo(count).map(index => [regionAt(index) + (index % PAGES), 1]),
          `${count} regions, ${kind}`,
        );
      }
    }
  });

  test('slots that others have left are tracked like new ones', async () => {
    await using tracked = await setup.open(memory => {
      for (const index of upTo(33)) memory.addRegion(regionAt(index) * PAGE, PAGES * PAGE);
    });
    for (const kind of tracked.kinds) {
      for (const index of [3, 17, 32]) {
        tracked.write(kind, regionAt(index) * PAGE);
        tracked.memory.removeRegion(regionAt(index) * PAGE);
        tracked.memory.addRegion(regionAt(index) * PAGE, PAGES * PAGE);
        tracked.write(kind, (regionAt(index) + 2) * PAGE);
      }
      assert.equal(
        await tracked.dirty(),
        [3, 17, 32].map(index => [regionAt(index) + 2, 1]),
        kind,
      );
    }
  });
});
