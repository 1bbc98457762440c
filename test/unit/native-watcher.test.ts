// Events that call back from a thread's event loop. Without KVM.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.ts';
import { codeOf } from '../errors.ts';
import { fdCount } from '../process-state.ts';

const test = suite('native event watcher');
const addon = native();

const wrong = <T>(value: unknown): T => value as T;
const LIMIT_MS = 10_000;

async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  while (!condition()) {
    if (performance.now() > end) throw new Error('it did not happen');
    await sleep(1);
  }
}

/** Two turns of the loop: every report that is due has come. */
async function turns(): Promise<void> {
  for (let i = 0; i < 2; i++) await new Promise(resolve => setImmediate(resolve));
}

test('each event calls back with its index, once for its signals, and keeps its counter', async () => {
  const events = [0, 1, 2].map(() => addon.createEventFd());
  const seen: number[] = [];
  const watcher = addon.watchEvents(events, index => seen.push(index));
  for (let i = 0; i < 3; i++) events[2]?.signal();
  events[0]?.signal();
  await until(() => seen.length >= 2);
  await turns();

  assert.equal(
    seen.sort((a, b) => a - b),
    [0, 2],
  );
  assert.is(events[2]?.take(), 3);
  events[2]?.signal();
  await until(() => seen.length === 3);
  assert.is(seen[2], 2);
  watcher.close();
});

test('an event that was signalled before is reported; more events than one wait gives, all of them', async () => {
  const events = Array.from({ length: 150 }, () => addon.createEventFd());
  for (const event of events) event.signal();
  const seen = new Set<number>();
  const watcher = addon.watchEvents(events, index => seen.add(index));

  await until(() => seen.size === 150);

  watcher.close();
  for (const event of events) event.close();
});

test('closed, also in a callback, it calls back no more', async () => {
  const events = [0, 1, 2].map(() => addon.createEventFd());
  const seen: number[] = [];
  const watcher = addon.watchEvents(events, index => {
    seen.push(index);
    watcher.close();
  });
  for (const event of events) event.signal();
  await until(() => seen.length > 0);
  for (const event of events) event.signal();
  await turns();

  assert.is(seen.length, 1);
  watcher.close();
});

test('what a callback throws is an uncaught exception, and the others are called', async () => {
  const events = [0, 1].map(() => addon.createEventFd());
  const seen: number[] = [];
  const watcher = addon.watchEvents(events, index => {
    seen.push(index);
    if (seen.length === 1) throw new Error('on purpose');
  });
  const uncaught = once(process, 'uncaughtException');
  for (const event of events) event.signal();

  assert.is(((await uncaught)[0] as Error).message, 'on purpose');
  await until(() => seen.length === 2);
  watcher.close();
});

test('promises that a callback resolves go on before the next one is called', async () => {
  const events = [0, 1].map(() => addon.createEventFd());
  const order: string[] = [];
  const watcher = addon.watchEvents(events, () => {
    order.push('call');
    void Promise.resolve().then(() => order.push('then'));
  });
  for (const event of events) event.signal();
  await until(() => order.length === 4);

  assert.equal(order, ['call', 'then', 'call', 'then']);
  watcher.close();
});

test("another thread's loop is called back, and ends when nothing is left to watch", async () => {
  const events = [0, 1].map(() => addon.createEventFd());
  const seen = new Int32Array(new SharedArrayBuffer(12));
  const worker = new Worker(new URL('../event-watcher-thread.js', import.meta.url), {
    workerData: { ids: events.map(({ id }) => id), seen },
  });
  const exited = once(worker, 'exit');
  await until(() => Atomics.load(seen, 2) === 1);
  for (let round = 1; round <= 20; round++) {
    events[1]?.signal();
    await until(() => Atomics.load(seen, 1) === round);
  }
  assert.is(events[1]?.take(), 20);
  events[0]?.signal();

  assert.equal(await exited, [0]);
  for (const event of events) event.close();
});

test('closing leaves no descriptor; a thread that is ended leaves none', async () => {
  const event = addon.createEventFd();
  const before = fdCount();
  const watchers = Array.from({ length: 50 }, () => addon.watchEvents([event], () => {}));
  assert.ok(fdCount() >= before + 50);
  for (const watcher of watchers) watcher.close();
  assert.is(fdCount(), before);

  const seen = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(new URL('../event-watcher-thread.js', import.meta.url), {
    workerData: { ids: [event.id], seen },
  });
  await until(() => Atomics.load(seen, 1) === 1);
  await worker.terminate();
  await turns();
  assert.is(fdCount(), before);
});

test('wrong arguments are refused, and leave nothing', async () => {
  const event = addon.createEventFd();
  const closed = addon.createEventFd();
  closed.close();
  const before = fdCount();
  for (const bad of [undefined, {}, event, [undefined], [event.id], [Object.create(event) as object]])
    assert.is(await codeOf(() => addon.watchEvents(wrong(bad), () => {})), 'ERR_INVALID_ARG_TYPE');
  for (const bad of [undefined, null, 1, {}])
    assert.is(await codeOf(() => addon.watchEvents([event], wrong(bad))), 'ERR_INVALID_ARG_TYPE');
  assert.is(await codeOf(() => addon.watchEvents([closed], () => {})), 'ERR_DISPOSED');
  assert.is(await codeOf(() => addon.watchEvents([event, event], () => {})), 'ERR_SYSCALL');
  assert.is(fdCount(), before);
});

test.run();
