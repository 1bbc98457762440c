// A thread that goes back to the pool lets go of the VM that it served. Pool threads.
// Guest RAM is unmapped when the last SharedArrayBuffer over it is collected, and an idle thread never collects by itself:
// gigabytes would stay mapped until some later VM happens to allocate enough on this thread. A collection of the small heap of
// such a thread takes milliseconds, which the next VM on it should not have to wait for, unless much would be kept.

import { native } from '../../native/index.ts';
import { GIB } from '../../shared/units.ts';

/** From here on a collection is worth its time at once. */
const BYTES_KEPT_MAX = GIB;
const IDLE_MS = 20;

let keptBytes = 0;
let timer: NodeJS.Timeout | undefined;

/** `bytes` of guest RAM have become garbage on this thread. */
export function letGo(bytes: number): void {
  keptBytes += bytes;
  clearTimeout(timer);
  if (keptBytes >= BYTES_KEPT_MAX) setImmediate(collect);
  else timer = setTimeout(collect, IDLE_MS);
}

/** The thread has work again: what little is kept can wait. */
export function keepBusy(): void {
  clearTimeout(timer);
}

function collect(): void {
  native().collectGarbage();
  keptBytes = 0;
}
