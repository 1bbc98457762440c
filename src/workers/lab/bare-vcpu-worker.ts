// A vCPU of the lab's baseline machine: KVM_RUN and its exits are a loop of C, and between rounds this thread sleeps where the gate device of a
// VirtualMachine would. A worker thread; ends when the main thread says so in its words.

import { workerData } from 'node:worker_threads';
import { native } from '../../../native/index.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import { KVM_SREGS, VCPU_STATS } from '../../../shared/generated/kvm-abi.ts';
import {
  EXIT_WORDS_BYTES,
  ROUND_OVER,
  STATE,
  STATE_BYTES,
  STORM_PORTS,
  TIMES,
  TIMES_OFFSET,
} from '../../../shared/lab/storm.ts';
import { encodeRegs, encodeSregs } from '../../../shared/vcpu-codec.ts';
import type { Regs, Sregs } from '../../../shared/vcpu-state.ts';

/** What the main thread sends along. */
export interface BareVcpuData {
  /** The main thread keeps the VM open until this thread has ended. */
  readonly vmFd: number;
  readonly index: number;
  readonly cpuid: Uint8Array;
  readonly regs: Partial<Regs>;
  readonly sregs: Partial<Sregs>;
  readonly state: SharedArrayBuffer;
  /** Of the thread that its exits are handed to; undefined: they are handled here. */
  readonly bell: SharedArrayBuffer | undefined;
  /** Processors that it may run on; empty: any. */
  readonly cpus: readonly number[];
}

const EINTR = 4;
/** As on the library's own vCPU threads. */
const HEARTBEAT_MS = 250;

const { vmFd, index, cpuid, regs, sregs, state, bell, cpus } = workerData as BareVcpuData;
const words = new Int32Array(state, index * STATE_BYTES, TIMES_OFFSET / 4);
const times = new Float64Array(state, index * STATE_BYTES + TIMES_OFFSET, 2);
const exits = new Uint8Array(state, index * STATE_BYTES + 4 * STATE.COUNTED, EXIT_WORDS_BYTES);
const rung = bell === undefined ? null : new Uint8Array(bell);

if (cpus.length > 0) native().setAffinity(cpus);
const vcpu = native().createVcpu(vmFd, index, new Uint8Array(new SharedArrayBuffer(VCPU_STATS.SIZE)));
/** A JavaScript function: entering one is where V8 acts on terminate() and process.exit(), which the heartbeat lets it do. */
const run = () => vcpu.runToPort(STORM_PORTS.GATE, exits, rung);
try {
  native().heartbeat(HEARTBEAT_MS);
  vcpu.setCpuid(cpuid);
  const now = new Uint8Array(KVM_SREGS.SIZE);
  vcpu.getState('sregs', now);
  vcpu.setState('sregs', encodeSregs(sregs, now));
  vcpu.setState('regs', encodeRegs(regs));
  for (let round = 0; round !== ROUND_OVER; ) {
    let result = run();
    while (result === -EINTR) result = run();
    if (result !== 0) {
      throw new HypervisorError(
        'ERR_LAB_ACTOR',
        `vCPU ${index} left KVM_RUN with ${result} (-errno, or KVM's exit reason)`,
      );
    }
    times[TIMES.END] = Number(process.hrtime.bigint());
    Atomics.store(words, STATE.DONE, round + 1);
    Atomics.notify(words, STATE.DONE);
    while (Atomics.load(words, STATE.ROUND) === round) Atomics.wait(words, STATE.ROUND, round);
    round = Atomics.load(words, STATE.ROUND);
    times[TIMES.START] = Number(process.hrtime.bigint());
  }
} finally {
  vcpu.close();
}
