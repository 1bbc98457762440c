// memory.changes(): dirty pages as a stream, on a cursor of its own. Thread: the memory's owner.

import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { DirtyHarvest } from './dirty-harvest.ts';
import type { DirtyTracker } from './dirty-tracker.ts';

export interface ChangesOptions {
  /** Milliseconds from the beginning of one harvest to that of the next, at least. */
  readonly every: number;
  /** Ends the stream with `ERR_ABORTED`. */
  readonly signal?: AbortSignal;
}

/** What setTimeout can count. */
const EVERY_MAX = 2 ** 31 - 1;

/** Checks at the call what the generator would find only at its first step. */
export function changes(tracker: DirtyTracker, options: ChangesOptions): AsyncGenerator<DirtyHarvest, void, void> {
  if (options === null || typeof options !== 'object') throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, ['every', 'signal'], 'changes');
  const { every, signal } = options;
  if (typeof every !== 'number') throw invalidType('every', 'a number of milliseconds', every);
  if (!(every >= 0 && every <= EVERY_MAX)) throw outOfRange('every', `0 to ${EVERY_MAX} milliseconds`, every);
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalidType('signal', 'an AbortSignal', signal);
  return stream(tracker, every, signal);
}

async function* stream(
  tracker: DirtyTracker,
  every: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<DirtyHarvest, void, void> {
  refuseAborted(signal);
  using cursor = tracker.anonymousCursor('changes');
  let last = performance.now();
  for (;;) {
    const woken = await rest(Math.max(0, last + every - performance.now()), tracker, signal);
    refuseAborted(signal);
    if (woken === 'closed') return;
    last = performance.now();
    // Aborts when the consumer does not come back: `break`, `return` and a throw in its loop end this generator at the yield.
    using harvest = cursor.harvest();
    if (harvest.pageCount > 0) yield harvest;
    // The consumer may have ended it itself.
    if (!harvest.ended) harvest.commit();
  }
}

/** Waits, until the memory is disposed or the signal comes. The timer keeps the process alive: somebody awaits it. */
function rest(ms: number, tracker: DirtyTracker, signal: AbortSignal | undefined): Promise<'elapsed' | 'closed'> {
  return new Promise(resolve => {
    const end = (how: 'elapsed' | 'closed') => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      forget();
      resolve(how);
    };
    const onAbort = () => end('elapsed');
    const timer = setTimeout(() => end('elapsed'), ms);
    signal?.addEventListener('abort', onAbort);
    let forget = () => {};
    forget = tracker.onClose(() => end('closed'));
  });
}

function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new HypervisorError('ERR_ABORTED', 'the signal given to changes() was aborted', { cause: signal.reason });
}
