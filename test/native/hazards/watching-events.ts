// Hazard: events call back, and the thread ends all the same, without the watcher being closed: a worker by worker.terminate() ('terminate') or by process.exit() of the main
// thread ('exit'), the main thread itself ('main-exit'), or the handle is dropped and collected ('collect'; needs --expose-gc).

import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { native } from '../../../native/index.ts';
import { collect } from '../../process-state.ts';

// Both kept: a handle that is collected is closed, and the thread would find no event.
const [stop, event] = [native().createEventFd(), native().createEventFd()];
const how = process.argv[2];

function watch(count: () => void): void {
  native().watchEvents([event], count);
}

async function watchingWorker(): Promise<Worker> {
  const seen = new Int32Array(new SharedArrayBuffer(12));
  const ids = [stop.id, event.id];
  const worker = new Worker(new URL('../../event-watcher-thread.js', import.meta.url), { workerData: { ids, seen } });
  await Atomics.waitAsync(seen, 2, 0).value;
  event.signal();
  await Atomics.waitAsync(seen, 1, 0).value;
  return worker;
}

if (how === 'collect') {
  let calls = 0;
  watch(() => {
    calls += 1;
  });
  await collect();
  console.log('EVENT');
  event.signal();
  await sleep(20);
  console.log(`calls ${calls}`);
} else if (how === 'main-exit') {
  watch(() => {
    console.log('EVENT');
    process.exit(3);
  });
  event.signal();
} else {
  const worker = await watchingWorker();
  console.log('EVENT');
  if (how === 'exit') process.exit(3);
  console.log(`terminated ${await worker.terminate()}`);
}
