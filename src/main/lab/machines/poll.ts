// Waiting for words that other threads change without a wake-up. Main thread.

import { HypervisorError } from '../../../../shared/errors.ts';

/** Between two looks: long enough that those that are waited for have the CPU. */
const NAP_MS = 0.05;
/** The event loop has its turn after so long: it may have news of a thread that has died. */
const TURN_MS = 5;
/** Longer than anything that is waited for: what has not happened then never will. */
const WAIT_MS_MAX = 60_000;

const never = new Int32Array(new SharedArrayBuffer(4));

/** Resolves when `holds`; rejects as `failed` does. Mostly blocks this thread. @throws `ERR_LAB_ACTOR` with `late` after 60 s */
export async function pollUntil(holds: () => boolean, failed: Promise<never>, late: string): Promise<void> {
  const start = performance.now();
  for (let turn = start; !holds(); ) {
    Atomics.wait(never, 0, 0, NAP_MS);
    const now = performance.now();
    if (now < turn + TURN_MS) continue;
    turn = now;
    if (now > start + WAIT_MS_MAX) throw new HypervisorError('ERR_LAB_ACTOR', `${late} within ${WAIT_MS_MAX} ms`);
    await Promise.race([new Promise(resolve => setImmediate(resolve)), failed]);
  }
}
