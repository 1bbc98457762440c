// Sets of sources: started and stopped all or nothing, exchanged without a gap, and no failure of one loses a page for any consumer.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { DirtyHarvest } from '../../src/main/memory/dirty-harvest.ts';
import type { DirtySource } from '../../src/main/memory/dirty-source.ts';
import { DirtyTracker } from '../../src/main/memory/dirty-tracker.ts';
import type { OwnedRegion } from '../../src/main/memory/region-list.ts';
import { codeOf } from '../errors.ts';
import { FakeSource, fakeMapping, PAGE, regionOf } from '../fake-source.ts';

const test = suite('dirty: sets of sources');

/** Two mappings of 10 pages, at pages 0 and 100. */
function setUp() {
  const low = fakeMapping(10);
  const high = fakeMapping(10);
  const regions: OwnedRegion[] = [regionOf(low, 0), regionOf(high, 100)];
  const tracker = new DirtyTracker(
    () => regions,
    () => ({ kind: 'unknown' }),
  );
  return { low, high, regions, tracker };
}

const chosen = (...sources: DirtySource[]) => ({ name: 'host' as const, sources });

function take(consumer: { harvest(): DirtyHarvest }): number[] {
  using harvest = consumer.harvest();
  const pages = harvest
    .ranges()
    .flatMap(({ guestAddr, size }) => Array.from({ length: size / PAGE }, (_none, index) => guestAddr / PAGE + index));
  harvest.commit();
  return pages;
}

const everything = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap(page => [page, page + 100]).sort((a, b) => a - b);

test('a collect that fails halfway loses nothing, for any consumer', async () => {
  const { low, high, tracker } = setUp();
  const [one, two] = [new FakeSource(), new FakeSource()];
  tracker.enable(chosen(one, two), {});
  const cursor = tracker.cursor('other');
  for (const afterMappings of [0, 1, 2]) {
    one.write(low, 1);
    two.write(low, 2);
    two.write(high, 3);
    two.fails = 'collect';
    two.afterMappings = afterMappings;
    assert.throws(() => tracker.harvest(), /made to fail/);
    assert.equal(take(cursor), [1, 2, 103]);
    assert.equal(take(tracker), [1, 2, 103]);
  }
});

test('a cursor that cannot begin clean does not begin', () => {
  const { low, tracker } = setUp();
  const source = new FakeSource();
  tracker.enable(chosen(source), {});
  source.write(low, 4);
  source.fails = 'collect';
  assert.throws(() => tracker.cursor('new'), /made to fail/);
  const cursor = tracker.cursor('new');
  assert.equal(take(cursor), []);
  assert.equal(take(tracker), [4]);
});

test('when one does not start, none has', async () => {
  const { tracker } = setUp();
  const [one, two] = [new FakeSource(), new FakeSource()];
  two.fails = 'start';
  assert.throws(() => tracker.enable(chosen(one, two), {}), /made to fail/);
  assert.is(tracker.source, undefined);
  assert.equal([one.recording, one.closed, two.closed], [false, true, true]);
  assert.is(await codeOf(() => tracker.harvest()), 'ERR_DIRTY_TRACKING_OFF');
});

test('exchanged: the new one records before the old one stops, and what both saw is reported', () => {
  const { low, tracker } = setUp();
  const [marks, old, fresh] = [new FakeSource(), new FakeSource(), new FakeSource()];
  tracker.enable(chosen(old, marks), {});
  const cursor = tracker.cursor('other');
  old.write(low, 1);
  const order: string[] = [];
  const note = (source: FakeSource, name: string) => {
    source.calls.length = 0;
    source.calls.push = (...calls: string[]) => order.push(...calls.map(call => `${name} ${call}`));
  };
  note(old, 'old');
  note(fresh, 'new');
  note(marks, 'marks');
  tracker.enable(chosen(fresh, marks), {});
  assert.equal(order, ['new start', 'old stop', 'old close']);
  fresh.write(low, 2);
  old.write(low, 3);
  assert.equal(take(tracker), [1, 2]);
  assert.equal(take(cursor), [1, 2]);
});

test('exchanging fails: the old one goes on, and the new one is closed', () => {
  const { low, tracker } = setUp();
  const [old, fresh] = [new FakeSource(), new FakeSource()];
  tracker.enable(chosen(old), {});
  fresh.fails = 'start';
  assert.throws(() => tracker.enable(chosen(fresh), {}), /start/);
  old.write(low, 1);
  old.fails = 'stop';
  const another = new FakeSource();
  assert.throws(() => tracker.enable(chosen(another), {}), /stop/);
  assert.equal([fresh.closed, another.closed, another.recording], [true, true, false]);
  old.write(low, 2);
  assert.equal(take(tracker), [1, 2]);
});

test('a stop that fails when another had stopped: tracking is on, and the gap is every page', () => {
  const { low, tracker } = setUp();
  const [one, two] = [new FakeSource(), new FakeSource()];
  tracker.enable(chosen(one, two), {});
  const cursor = tracker.cursor('other');
  one.write(low, 1);
  two.fails = 'stop';
  assert.throws(() => tracker.disable(), /stop/);
  assert.is(tracker.source, 'host');
  // It rests, so it does not see this; and as nobody knows, everything is reported.
  one.write(low, 2);
  one.fails = 'start';
  assert.throws(() => tracker.harvest(), /start/);
  assert.equal(take(tracker), everything);
  assert.equal(take(cursor), everything);
  one.write(low, 5);
  assert.equal(take(tracker), [5]);
  tracker.disable();
  assert.equal([one.closed, two.closed, tracker.source], [true, true, undefined]);
});

test('a stop that fails, and then succeeds: the gap between is every page', () => {
  const { low, tracker } = setUp();
  const [one, two] = [new FakeSource(), new FakeSource()];
  tracker.enable(chosen(one, two), {});
  two.fails = 'stop';
  assert.throws(() => tracker.disable(), /stop/);
  one.write(low, 2);
  tracker.disable();
  tracker.enable(chosen(new FakeSource()), {});
  assert.equal(take(tracker), everything);
});

test('a region that one source refuses is dismissed by the others', () => {
  const { tracker } = setUp();
  const [one, two] = [new FakeSource(), new FakeSource()];
  tracker.enable(chosen(one, two), {});
  two.fails = 'admit';
  assert.throws(() => tracker.admit(regionOf(fakeMapping(1), 500)), /admit/);
  assert.equal(one.calls, ['start', 'admit', 'dismiss']);
  assert.equal(two.calls, ['start', 'admit']);
});

test('the end closes what records, once', async () => {
  const { tracker } = setUp();
  const source = new FakeSource();
  tracker.enable(chosen(source), {});
  let told = 0;
  tracker.onClose(() => told++);
  tracker.onClose(() => told++)();
  tracker.close();
  tracker.close();
  tracker.onClose(() => told++);
  assert.is(told, 2);
  assert.equal(source.calls, ['start', 'close']);
  assert.is(await codeOf(() => tracker.harvest()), 'ERR_DISPOSED');
  assert.is(await codeOf(() => tracker.cursor('late')), 'ERR_DISPOSED');
});

test.run();
