// The baseline's device on a thread of its own: handles the exits of all vCPUs of a BareVm in C. A worker thread; ends when the main thread says so in
// its words.

import { workerData } from 'node:worker_threads';
import { native } from '../../../native/index.ts';
import { EXIT_WORDS_BYTES, ROUND_OVER, STATE, STATE_BYTES } from '../../../shared/lab/storm.ts';

/** What the main thread sends along: the words of shared/lab/storm.ts, and the bell that the vCPUs ring. */
export interface ExitServerData {
  readonly state: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
}

// SAFETY: only bare-vm.ts starts this file, and with exactly this.
const { state, bell } = workerData as ExitServerData;
const words = new Int32Array(state);
const exits = Array.from(
  { length: state.byteLength / STATE_BYTES },
  (_, vcpu) => new Uint8Array(state, vcpu * STATE_BYTES + 4 * STATE.COUNTED, EXIT_WORDS_BYTES),
);
const rung = new Uint8Array(bell);
/** A JavaScript function: entering one is where V8 acts on terminate() and process.exit(). */
const serve = () => native().serveExits(rung, exits);
while (Atomics.load(words, STATE.ROUND) !== ROUND_OVER) serve();
