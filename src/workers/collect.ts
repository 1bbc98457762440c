// A thread that goes back to the pool lets go of the VM that it served. Pool threads.
// Guest RAM is unmapped when the last SharedArrayBuffer over it is collected, and an idle thread never collects by itself:
// gigabytes would stay mapped until some later VM happens to allocate enough on this thread. A collection of the small heap of
// such a thread takes a few milliseconds.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

let collector: (() => void) | undefined;

/** Runs the collector, where this V8 hands it out; otherwise the memory goes with the next ordinary collection. */
export function collectGarbage(): void {
  if (collector === undefined) {
    setFlagsFromString('--expose-gc');
    const gc: unknown = runInNewContext("typeof gc === 'function' ? gc : undefined");
    collector = typeof gc === 'function' ? () => gc() : () => {};
  }
  collector();
}
