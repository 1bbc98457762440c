// Changing the source while tracking is on: the new one records before the old one stops, so no write is lost.

import { KvmMemory } from 'node-kvm';
import * as assert from 'uvu/assert';
import { dirtyPages, PAGE, sourceSuite } from '../dirty-pages.ts';

const test = sourceSuite('pagemap', 'dirty: switching sources');

test('host to pagemap and back: pages of each time, each once', () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.enableDirtyTracking({ source: 'host' });
  memory.memset(1 * PAGE, 1, 1);
  memory.enableDirtyTracking({ source: 'pagemap' });
  assert.is(memory.dirtySource, 'pagemap');
  memory.view(2 * PAGE, 1)[0] = 1;
  memory.memset(3 * PAGE, 1, 1);
  memory.enableDirtyTracking({ source: 'host' });
  assert.is(memory.dirtySource, 'host');
  memory.memset(4 * PAGE, 1, 1);
  memory.view(5 * PAGE, 1)[0] = 1;
  assert.equal(dirtyPages(memory), [1, 2, 3, 4]);
});

test('asking again, or for no source, changes nothing', () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.enableDirtyTracking({ source: 'pagemap' });
  memory.view(2 * PAGE, 1)[0] = 1;
  memory.enableDirtyTracking({ source: 'pagemap' });
  memory.enableDirtyTracking();
  assert.is(memory.dirtySource, 'pagemap');
  assert.equal(dirtyPages(memory), [2]);
});

test('an open harvest keeps its pages while the source changes', () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.enableDirtyTracking({ source: 'pagemap' });
  memory.view(2 * PAGE, 1)[0] = 1;
  const harvest = memory.harvest();
  memory.view(3 * PAGE, 1)[0] = 1;
  memory.enableDirtyTracking({ source: 'host' });
  assert.is(harvest.pageCount, 1);
  harvest.abort();
  assert.equal(dirtyPages(memory), [2, 3]);
});

test("every change back to 'auto' takes pagemap where tracking was off", () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.enableDirtyTracking();
  assert.is(memory.dirtySource, 'pagemap');
  memory.disableDirtyTracking();
  assert.is(memory.dirtySource, undefined);
});

test.run();
