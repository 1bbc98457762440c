// The kernel lets one tracker have a page. Memory that two KvmMemory objects share is tracked by the one that came first; the
// other is told so when it insists, and takes what is left to it when it does not.

import { KvmMemory } from 'node-kvm';
import * as assert from 'uvu/assert';
import { dirtyPages, PAGE, sourceSuite } from '../dirty-pages.ts';
import { codeOf } from '../errors.ts';

const test = sourceSuite('pagemap', 'dirty: pagemap of shared memory');

/** One with 16 pages; another with 4 of its own, and pages 8 to 11 of the first at its page 100. */
function pair(): { first: KvmMemory; second: KvmMemory } & Disposable {
  const first = new KvmMemory(16 * PAGE);
  const second = new KvmMemory(4 * PAGE);
  second.addExternalRegion(100 * PAGE, first.hostAddress() + BigInt(8 * PAGE), 4 * PAGE, false);
  const end = () => {
    first[Symbol.dispose]();
    second[Symbol.dispose]();
  };
  return { first, second, [Symbol.dispose]: end };
}

test('the second is refused with the reason, and nothing of it is tracked then', async () => {
  using both = pair();
  const { first, second } = both;
  first.enableDirtyTracking({ source: 'pagemap' });
  assert.is(await codeOf(() => second.enableDirtyTracking({ source: 'pagemap' })), 'ERR_DIRTY_SOURCE');
  assert.throws(() => second.enableDirtyTracking({ source: 'pagemap' }), /another tracker has it/);
  assert.is(second.dirtySource, undefined);
  first.disableDirtyTracking();
  second.enableDirtyTracking({ source: 'pagemap' });
  first.view(9 * PAGE, 1)[0] = 1;
  second.view(2 * PAGE, 1)[0] = 1;
  assert.equal(dirtyPages(second), [2, 101]);
});

test("'auto' takes the next source, and the first goes on seeing everything", () => {
  using both = pair();
  const { first, second } = both;
  first.enableDirtyTracking({ source: 'pagemap' });
  second.enableDirtyTracking();
  assert.is(second.dirtySource, 'host');
  second.memset(101 * PAGE, 1, 1);
  second.view(102 * PAGE, 1)[0] = 1;
  assert.equal(dirtyPages(second), [101]);
  assert.equal(dirtyPages(first), [9, 10]);
});

test('a region of tracked memory cannot be added to a memory that is tracked so itself', async () => {
  using first = new KvmMemory(16 * PAGE);
  using second = new KvmMemory(4 * PAGE);
  first.enableDirtyTracking({ source: 'pagemap' });
  second.enableDirtyTracking({ source: 'pagemap' });
  const add = () => second.addExternalRegion(100 * PAGE, first.hostAddress(), PAGE, false);
  assert.is(await codeOf(add), 'ERR_DIRTY_SOURCE');
  assert.is(second.regions().length, 1);
  second.view(PAGE, 1)[0] = 1;
  assert.equal(dirtyPages(second), [1]);
  second.enableDirtyTracking({ source: 'host' });
  add();
  assert.is(second.regions().length, 2);
});

test('memory is free again when the tracking one is disposed of', () => {
  const first = new KvmMemory(16 * PAGE);
  using second = new KvmMemory(4 * PAGE);
  second.addExternalRegion(100 * PAGE, first.hostAddress(), PAGE, false);
  first.enableDirtyTracking({ source: 'pagemap' });
  first[Symbol.dispose]();
  second.enableDirtyTracking({ source: 'pagemap' });
  second.view(100 * PAGE, 1)[0] = 1;
  assert.equal(dirtyPages(second), [100]);
});

test.run();
