// Eventfds through the addon: counters, waits on other threads, who keeps what open, and what the arguments may be. Without KVM.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { codeOf } from '../errors.ts';
import { EventThread } from '../event-thread.ts';
import { fdCount } from '../process-state.ts';

const test = suite('native events');
const addon = native();

/** A value that is not what the types say: what untyped JavaScript may pass. */
const wrong = <T>(value: unknown): T => value as T;

test('an event counts its signals, by every handle of it', () => {
  const event = addon.createEventFd();
  const attached = addon.attachEventFd(event.id);
  event.signal();
  attached.signal();

  assert.is(attached.id, event.id);
  assert.is(event.take(), 2);
  assert.is(attached.take(), 0);
});

test('a waiter reports an event once for its signals, and leaves its counter', () => {
  const [first, second] = [addon.createEventFd(), addon.createEventFd()];
  const waiter = addon.createEventWaiter([first, second]);
  const ready = new Uint32Array(2);
  assert.is(waiter.wait(0, ready), 0);
  second.signal();
  second.signal();

  assert.is(waiter.wait(1000, ready), 1);
  assert.is(ready[0], 1);
  assert.is(waiter.wait(1, ready), 0);
  assert.is(second.take(), 2);
});

test('what has no room is reported by the next wait', () => {
  const events = [0, 1, 2].map(() => addon.createEventFd());
  const waiter = addon.createEventWaiter(events);
  for (const event of events) event.signal();
  const ready = new Uint32Array(2);

  const seen = [];
  for (let found = waiter.wait(0, ready); found > 0; found = waiter.wait(0, ready)) seen.push(...ready.slice(0, found));

  assert.equal(
    seen.sort((a, b) => a - b),
    [0, 1, 2],
  );
});

test('a thread sleeps until any of its events is signalled, and ends by its own', async () => {
  const events = [0, 1, 2].map(() => addon.createEventFd());
  const thread = new EventThread(events);
  await thread.started();
  for (const index of [2, 0, 1, 2]) {
    const before = thread.reports(index);
    events[index]?.signal();
    await thread.reported(index, before + 1);
  }

  await thread.stop();

  assert.equal(
    [0, 1, 2].map(index => thread.reports(index)),
    [1, 1, 2],
  );
});

test('an event that is closed here stays what it is for a thread that waits for it', async () => {
  const event = addon.createEventFd();
  const other = addon.attachEventFd(event.id);
  const thread = new EventThread([event]);
  await thread.started();
  event.close();
  // Would have the closed descriptor's number, if that were free.
  const strangers = [0, 1, 2, 3].map(() => addon.createEventFd());
  for (const stranger of strangers) stranger.signal();
  other.signal();

  await thread.reported(0, 1);
  await thread.stop();

  assert.is(thread.reports(0), 1);
  assert.is(other.take(), 1);
});

test('closed handles say so; the last one closes the event for good', async () => {
  const event = addon.createEventFd();
  const waiter = addon.createEventWaiter([]);
  const { id } = event;
  for (const handle of [event, event, waiter, waiter]) handle.close();

  assert.is(await codeOf(() => event.signal()), 'ERR_DISPOSED');
  assert.is(await codeOf(() => event.take()), 'ERR_DISPOSED');
  assert.is(await codeOf(() => addon.attachEventFd(id)), 'ERR_DISPOSED');
  assert.is(await codeOf(() => addon.createEventWaiter([event])), 'ERR_DISPOSED');
  assert.is(await codeOf(() => waiter.wait(0, new Uint32Array(1))), 'ERR_DISPOSED');
  assert.is(addon.createEventFd().id > id, true);
});

test('closing leaves no descriptor', () => {
  const before = fdCount();
  for (let i = 0; i < 100; i++) {
    const event = addon.createEventFd();
    const attached = addon.attachEventFd(event.id);
    const waiter = addon.createEventWaiter([event, addon.createEventFd()]);
    // The other event of the waiter is the collector's, all but its handle closed.
    for (const handle of [attached, event, waiter]) handle.close();
  }
  assert.ok(fdCount() - before <= 100);
});

test('wrong arguments are refused', async () => {
  const event = addon.createEventFd();
  const waiter = addon.createEventWaiter([event]);
  const ready = new Uint32Array(1);
  for (const timeout of [-1, 0.5, Number.NaN, 1001, Number.POSITIVE_INFINITY])
    assert.is(await codeOf(() => waiter.wait(timeout, ready)), 'ERR_OUT_OF_RANGE', String(timeout));
  for (const bad of [undefined, null, '1', 1n]) {
    assert.is(await codeOf(() => waiter.wait(wrong(bad), ready)), 'ERR_INVALID_ARG_TYPE', String(bad));
    assert.is(await codeOf(() => addon.attachEventFd(wrong(bad))), 'ERR_INVALID_ARG_TYPE', String(bad));
  }
  for (const bad of [undefined, null, [0], new Int32Array(1), new BigUint64Array(1)])
    assert.is(await codeOf(() => waiter.wait(0, wrong(bad))), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => waiter.wait(0, new Uint32Array(0))), 'ERR_BUFFER_TOO_SMALL');
  assert.is(await codeOf(() => waiter.wait.call(wrong(event), 0, ready)), 'ERR_INVALID_ARG_TYPE');
  for (const bad of [undefined, {}, event, [undefined], [waiter], [event.id], [Object.create(event) as object]])
    assert.is(await codeOf(() => addon.createEventWaiter(wrong(bad))), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => addon.createEventWaiter([event, event])), 'ERR_SYSCALL');
  assert.is(await codeOf(() => addon.attachEventFd(0)), 'ERR_DISPOSED');
  event.signal();
  assert.is(waiter.wait(0, ready), 1);
});

test.run();
