// The soak itself: a page that a harvest leaves out is found, and the message says where, by whom and when. A soak that cannot fail
// would prove nothing.

import { type DirtyHarvest, KvmMemory, u32le } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE, TAG, tagged } from '../soak/layout.ts';
import { Random } from '../soak/random.ts';
import { type HarvestSource, Mapped, Replica } from '../soak/replica.ts';

const test = suite('soak: replica');
const never = { mayAbort: false };

/** A source that commits what it never shows: the page at `lost` is left out of every harvest. */
function losing(memory: KvmMemory, lost: number): HarvestSource {
  const leaveOut = (harvest: DirtyHarvest): DirtyHarvest => {
    const ranges = harvest
      .ranges()
      .flatMap(({ guestAddr, size }) =>
        Array.from({ length: size / PAGE }, (_, page) => ({ guestAddr: guestAddr + page * PAGE, size: PAGE })),
      );
    const shown = ranges.filter(({ guestAddr }) => guestAddr !== lost);
    const bits = (region: { guestAddr: number; size: number }) => {
      const bytes = new Uint8Array(Math.ceil(region.size / PAGE / 64) * 8);
      for (const { guestAddr } of shown) {
        const page = (guestAddr - region.guestAddr) / PAGE;
        bytes[page >>> 3] = (bytes[page >>> 3] as number) | (1 << (page & 7));
      }
      return bytes;
    };
    return {
      pageCount: shown.length,
      ranges: () => shown,
      rangeArray: () => Float64Array.from(shown.flatMap(({ guestAddr, size }) => [guestAddr, size])),
      bitmap: bits,
      commit: () => harvest.commit(),
      abort: () => harvest.abort(),
    } as unknown as DirtyHarvest;
  };
  return { harvest: () => leaveOut(memory.harvest()) };
}

test('equal when nothing is lost, in each way of reading a harvest', () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.enableDirtyTracking({ source: 'host' });
  const mapped = new Mapped(memory);
  const replica = new Replica('the copy', memory);
  const random = new Random(5);
  for (let count = 1; count <= 60; count++) {
    memory.writeObj((count % 16) * PAGE, u32le, tagged(TAG.apiMain, count));
    replica.step(mapped, random, never);
  }
  assert.equal(replica.differences(mapped), []);
  assert.is(replica.pages, 60);
});

test('a lost page is found, with its writer and the last harvest that named it', () => {
  for (let seed = 1; seed <= 6; seed++) {
    using memory = new KvmMemory(16 * PAGE);
    memory.enableDirtyTracking({ source: 'host' });
    const mapped = new Mapped(memory);
    const replica = new Replica('the copy', losing(memory, 5 * PAGE));
    memory.writeObj(4 * PAGE, u32le, tagged(TAG.apiMain, 1));
    memory.writeObj(5 * PAGE + 8, u32le, tagged(TAG.api, 2));
    replica.step(mapped, new Random(seed), never);
    const [line = '', ...others] = replica.differences(mapped);
    assert.equal(others, []);
    assert.match(line, /page 0x5000 at \+0x8: memory 0xb1000002 by the API on a worker/);
    assert.match(line, /never named by a harvest/);
  }
});

test('an aborted harvest is not replayed, and the next one has its pages', () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.enableDirtyTracking({ source: 'host' });
  const mapped = new Mapped(memory);
  const replica = new Replica('the copy', memory);
  const random = new Random(3);
  let aborted = 0;
  for (let count = 1; count <= 200; count++) {
    memory.writeObj((count % 16) * PAGE, u32le, tagged(TAG.apiMain, count));
    const before = replica.pages;
    replica.step(mapped, random, { mayAbort: true });
    if (replica.pages === before) aborted += 1;
  }
  replica.step(mapped, random, never);
  assert.ok(aborted > 0);
  assert.equal(replica.differences(mapped), []);
});

test.run();
