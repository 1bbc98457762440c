// A worker thread whose event loop is called back by eventfds, and counts the calls: for tests of watchers between threads. `workerData`: the events' ids, and
// shared words, one per event and a last one that is 1 when it watches. Event 0 closes the watcher, and with it the thread ends.

import { workerData } from 'node:worker_threads';
import { native } from '../native/index.ts';

const { ids, seen } = workerData as { ids: readonly number[]; seen: Int32Array };
const events = ids.map(id => native().attachEventFd(id));
const watcher = native().watchEvents(events, index => {
  if (index === 0) watcher.close();
  Atomics.add(seen, index, 1);
  Atomics.notify(seen, index);
});
Atomics.store(seen, ids.length, 1);
Atomics.notify(seen, ids.length);
