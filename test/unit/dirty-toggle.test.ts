// Turning tracking on and off: what was recorded is kept, what was written while it was off is not.

import { KvmMemory, u8 } from 'node-kvm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../errors.ts';

const test = suite('dirty: toggling');

const PAGE = 4096;
const dirty = (memory: KvmMemory) =>
  memory.getDirtyPages().map(({ guestAddr, size }) => [guestAddr / PAGE, size / PAGE]);

test('nothing is recorded before the first time, and asking is an error', async () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.writeObj(0, u8, 1);
  assert.is(await codeOf(() => memory.getDirtyPages()), 'ERR_DIRTY_TRACKING_OFF');
  assert.is(await codeOf(() => memory.harvest()), 'ERR_DIRTY_TRACKING_OFF');
  memory.enableDirtyTracking();
  assert.equal(dirty(memory), []);
});

test('off and on: earlier pages are kept, those in between are not', async () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.setDirtyTrackingEnabled(true);
  memory.writeObj(1 * PAGE, u8, 1);
  memory.setDirtyTrackingEnabled(false);
  memory.writeObj(5 * PAGE, u8, 1);
  assert.is(await codeOf(() => memory.getDirtyPages()), 'ERR_DIRTY_TRACKING_OFF');
  memory.setDirtyTrackingEnabled(true);
  memory.writeObj(9 * PAGE, u8, 1);
  assert.equal(dirty(memory), [
    [1, 1],
    [9, 1],
  ]);
});

test('on twice and off twice change nothing', () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.disableDirtyTracking();
  memory.enableDirtyTracking();
  memory.writeObj(3 * PAGE, u8, 1);
  memory.enableDirtyTracking({ source: 'host' });
  assert.equal(dirty(memory), [[3, 1]]);
  memory.disableDirtyTracking();
  memory.disableDirtyTracking();
});

test('a region added while tracking is tracked, a removed one takes its pages along', () => {
  using memory = new KvmMemory(16 * PAGE);
  memory.enableDirtyTracking();
  memory.addRegion(32 * PAGE, 3 * PAGE);
  memory.addRegion(64 * PAGE, 3 * PAGE);
  memory.memset(34 * PAGE, 1, PAGE);
  memory.memset(64 * PAGE, 1, PAGE);
  memory.removeRegion(64 * PAGE);
  assert.equal(dirty(memory), [[34, 1]]);
});

test.run();
