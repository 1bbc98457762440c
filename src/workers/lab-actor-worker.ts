// An actor of the lab that is a thread: JavaScript, WebAssembly, or C by way of the addon. Entry of its own thread, which sleeps between repetitions
// and ends with the last one. Started by src/main/lab/actor-team.ts; the protocol is shared/lab/control.ts.

import { parentPort, workerData } from 'node:worker_threads';
import { native } from '../../native/index.ts';
import { type ActorData, ActorWords, controlWords } from '../../shared/lab/actor-words.ts';
import { LAB_BLOCK, LAB_CONTROL, LAB_LAYOUT, LAB_OVER, LAB_PARAMS_MAX, LAB_RESULT } from '../../shared/lab/control.ts';
import { LAB_KERNELS } from '../../shared/lab/kernels.ts';
import { toWire } from '../../shared/wire-error.ts';
import { arenaOf, type Kernel } from './lab/arena.ts';
import { kernelsOf } from './lab/kernel-table.ts';
import { OrderGate } from './lab/order-gate.ts';

/** With more actors than processors a late one waits for the processor that an early one spins on: then the early one sleeps for a moment. */
const SPINS_MAX = 20_000;
const NAP_MS = 0.02;
/** Increments of nothing before the first order, so that what takes the times is compiled code when its cost is measured and ever after. */
const WARM_UPS = 10_000;

// SAFETY: only actor-team.ts starts this file, and with exactly this.
const { kind, actor, memory } = workerData as ActorData;
const buffer = memory.buffer;
const control = controlWords(buffer);
const block = new ActorWords(buffer, actor);

/** False: it is over, and nobody will come any more. */
function meetAtBarrier(): boolean {
  Atomics.add(control, LAB_CONTROL.ARRIVED, 1);
  for (let spins = 0; ; spins++) {
    const arrived = Atomics.load(control, LAB_CONTROL.ARRIVED);
    if (arrived === Atomics.load(control, LAB_CONTROL.PARTICIPANTS)) return true;
    if (Atomics.load(control, LAB_CONTROL.EPOCH) === LAB_OVER) return false;
    if (spins > SPINS_MAX) Atomics.wait(control, LAB_CONTROL.ARRIVED, arrived, NAP_MS);
  }
}

/** Gives the function that carries out one order, from the barrier to the results. */
async function openActor(): Promise<() => void> {
  if (kind === 'c') {
    const { labRun } = native();
    return () => labRun(buffer, actor);
  }
  const kernels = await kernelsOf(kind, memory);
  const arena = arenaOf(buffer);
  const params = new Uint32Array(LAB_PARAMS_MAX);
  const { words, results, values } = block;
  const given = words.subarray(LAB_BLOCK.PARAMS, LAB_BLOCK.PARAMS + LAB_PARAMS_MAX);
  const timed = (kernel: Kernel) => {
    const start = process.hrtime.bigint();
    kernel(arena, params, values);
    const end = process.hrtime.bigint();
    results[LAB_RESULT.START] = start;
    results[LAB_RESULT.END] = end;
  };
  const idle = kernels.get(LAB_KERNELS.increment);
  params[0] = LAB_LAYOUT.DATA;
  for (let i = 0; i < WARM_UPS && idle !== undefined; i++) timed(idle);
  return () => {
    const number = Atomics.load(words, LAB_BLOCK.KERNEL);
    const kernel = kernels.get(number);
    if (kernel === undefined) throw new RangeError(`${kind} actors have no kernel ${number}`);
    params.set(given);
    values.fill(0n);
    if (meetAtBarrier()) timed(kernel);
  };
}

try {
  const perform = await openActor();
  const gate = new OrderGate(buffer, actor);
  parentPort?.postMessage({ type: 'ready' });
  while (gate.next()) {
    perform();
    gate.done();
  }
} catch (error) {
  parentPort?.postMessage({ type: 'failed', error: toWire(error) });
}
