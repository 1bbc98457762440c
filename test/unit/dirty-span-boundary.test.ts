// Hazard: accessors see a region through views of at most a GiB. Pages at the border of two such spans, and writes over it.

import { u8, u64le } from 'node-kvm';
import * as assert from 'uvu/assert';
import { forEachSetup } from '../dirty-setups.ts';

const PAGE = 4096;
const GIB = 2 ** 30;
/** The border of two spans is not at a multiple of a GiB of guest memory. */
const START = 0x1000 * PAGE;
const BORDER = START + GIB;

forEachSetup(
  'dirty: span boundary',
  (test, setup) => {
    test('the pages on both sides, and everything that is written over the border', async () => {
      await using tracked = await setup.open(memory => memory.addRegion(START, GIB + 5 * PAGE));
      const { memory } = tracked;
      const border = BORDER / PAGE;
      const writes: readonly [write: () => void, expected: [number, number][]][] = [
        [() => memory.writeObj(BORDER - 1, u8, 1), [[border - 1, 1]]],
        [() => memory.writeObj(BORDER, u8, 1), [[border, 1]]],
        [() => memory.writeObj(BORDER - 4, u64le, 1n), [[border - 1, 2]]],
        [() => memory.write(BORDER - PAGE - 1, new Uint8Array(PAGE + 2)), [[border - 2, 3]]],
        [() => memory.memset(BORDER - 1, 5, PAGE + 2), [[border - 1, 3]]],
        [() => memory.write(BORDER - 8 * PAGE, new Uint8Array(12 * PAGE)), [[border - 8, 12]]],
      ];
      for (const [write, expected] of writes) {
        write();
        assert.equal(await tracked.dirty(), expected, String(write));
      }
    });
  },
  ({ withGuest }) => !withGuest,
);
