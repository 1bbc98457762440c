// The run loop of a vCPU on the kvm engine: KVM_RUN, decode kvm_run in place, handle, again. vCPU thread.
// Nothing awaits and nothing is allocated while exits are ports and MMIO. Who stops it, and in which order, is argued in
// ARCHITECTURE.md ("Stopping a thread that is in KVM_RUN").

import {
  REQUEST,
  REQUEST_PAUSE,
  REQUEST_QUIESCE,
  REQUEST_SERVICE,
  REQUEST_STOP,
  STATE,
  STATE_GUEST,
  STATE_IDLE,
  STATE_OUTSIDE,
  STATE_PARKED,
  vcpuBase,
} from '../../shared/control-block.ts';
import { HypervisorError } from '../../shared/errors.ts';
import type { ExitTrace } from '../../shared/exit-trace.ts';
import { decodeDebugEvent, decodeInternalError, decodeSystemEvent, exitName } from '../../shared/exits.ts';
import { KVM_EXIT, KVM_RUN } from '../../shared/generated/kvm-abi.ts';
import type { GuestMemory } from '../../shared/guest-memory.ts';
import type { RunOutcome } from '../../shared/protocol.ts';
import { hex } from '../../shared/units.ts';
import type { VcpuStatsWords } from '../../shared/vcpu-stats.ts';
import type { ExitHandler } from './exit-handler.ts';
import type { Throttle } from './throttle.ts';

const EINTR = 4;
const EAGAIN = 11;

const LEFT: RunOutcome = { reason: 'left' };
const STOPPED: RunOutcome = { reason: 'stopped' };
const HALTED: RunOutcome = { reason: 'halted' };
const SHUTDOWN: RunOutcome = { reason: 'shutdown' };

/** What kvm_run.internal.suberror means. */
const SUBERRORS = [
  'an unknown error',
  'an instruction that KVM cannot emulate',
  'two exceptions at once',
  'an event that could not be delivered',
  'an unexpected exit reason',
];

const CANNOT_EMULATE = 1;

/** The registers at an error: text for the message, values for `info`. */
export interface RegisterDump {
  readonly text: string;
  readonly info: Record<string, unknown>;
}

export interface RunLoopOptions {
  readonly index: number;
  readonly control: Int32Array;
  /** NativeVcpu.run. */
  readonly kvmRun: () => number;
  /** NativeVcpu.failedCall. */
  readonly failedCall: () => string;
  readonly runBuffer: SharedArrayBuffer;
  readonly handler: ExitHandler;
  readonly stats: VcpuStatsWords;
  readonly trace: ExitTrace | undefined;
  readonly memory: GuestMemory;
  readonly throttle: Throttle;
  dump(): RegisterDump;
}

export class RunLoop {
  readonly #options: RunLoopOptions;
  readonly #control: Int32Array;
  readonly #base: number;
  readonly #run: DataView;
  readonly #runBytes: Uint8Array;
  readonly #kvmRun: () => number;
  readonly #handler: ExitHandler;
  readonly #trace: ExitTrace | undefined;
  readonly #throttle: Throttle;
  /** A port or MMIO exit was handled, and its instruction has not ended yet: it does so in the next KVM_RUN. */
  #unfinished = false;

  constructor(options: RunLoopOptions) {
    this.#options = options;
    this.#control = options.control;
    this.#base = vcpuBase(options.index);
    this.#run = new DataView(options.runBuffer);
    this.#runBytes = new Uint8Array(options.runBuffer);
    this.#kvmRun = options.kvmRun;
    this.#handler = options.handler;
    this.#trace = options.trace;
    this.#throttle = options.throttle;
  }

  /** Runs the guest until something ends the loop. Blocks. Throws coded errors for what the guest cannot go on from. */
  enter(): RunOutcome {
    this.#options.stats.forgetLastReturn();
    this.#throttle.begin();
    try {
      for (;;) {
        const outcome = this.#step();
        if (outcome !== undefined) return outcome;
      }
    } finally {
      this.#throttle.end();
      this.#become(STATE_IDLE);
    }
  }

  #step(): RunOutcome | undefined {
    const control = this.#control;
    this.#throttle.pace();
    // The order of these two is one half of the handshake: say "in the guest", then look for requests.
    Atomics.store(control, this.#base + STATE, STATE_GUEST);
    const request = Atomics.load(control, this.#base + REQUEST);
    if (request !== 0) return this.#answer(request);
    const failed = this.#kvmRun();
    Atomics.store(control, this.#base + STATE, STATE_OUTSIDE);
    this.#unfinished = false;
    if (failed === 0) return this.#handleExit();
    if (failed === -EINTR || failed === -EAGAIN) return undefined;
    throw this.#runFailed(-failed);
  }

  /** Somebody wants something: leave, or stay out of the guest until they have done it. */
  #answer(request: number): RunOutcome | undefined {
    if ((request & REQUEST_STOP) !== 0) return this.#finishInstruction() ?? STOPPED;
    if ((request & (REQUEST_PAUSE | REQUEST_SERVICE)) !== 0) return this.#finishInstruction() ?? LEFT;
    this.#park();
    return undefined;
  }

  /** Stays outside KVM_RUN, on this very thread, until the main thread has changed what it wanted to change. */
  #park(): void {
    const control = this.#control;
    this.#become(STATE_PARKED);
    for (;;) {
      const request = Atomics.load(control, this.#base + REQUEST);
      if ((request & REQUEST_QUIESCE) === 0) break;
      Atomics.wait(control, this.#base + REQUEST, request);
    }
    // What it was for, most likely: the memory has changed.
    this.#options.memory.follow();
    this.#options.stats.forgetLastReturn();
  }

  /**
   * Ends the instruction that made the last exit, without going on: registers are only then those between two instructions.
   * KVM may answer with a further exit of the same instruction (a rep, an access across a page); that is handled too.
   */
  #finishInstruction(): RunOutcome | undefined {
    const control = this.#control;
    while (this.#unfinished) {
      Atomics.store(control, this.#base + STATE, STATE_GUEST);
      if ((Atomics.load(control, this.#base + REQUEST) & REQUEST_QUIESCE) !== 0) {
        this.#park();
        continue;
      }
      Atomics.store(this.#runBytes, KVM_RUN.immediateExit, 1);
      const failed = this.#kvmRun();
      Atomics.store(control, this.#base + STATE, STATE_OUTSIDE);
      this.#unfinished = false;
      if (failed === 0) {
        const outcome = this.#handleExit();
        if (outcome !== undefined) return outcome;
      } else if (failed !== -EINTR && failed !== -EAGAIN) throw this.#runFailed(-failed);
    }
    return undefined;
  }

  #handleExit(): RunOutcome | undefined {
    const run = this.#run;
    const reason = run.getUint32(KVM_RUN.exitReason, true);
    if (this.#trace !== undefined) this.#trace.before(run);
    switch (reason) {
      case KVM_EXIT.IO:
      case KVM_EXIT.MMIO: {
        const outcome = this.#handler.handle();
        this.#unfinished = outcome?.reason !== 'failed' && outcome?.reason !== 'stopped';
        if (this.#trace !== undefined) this.#trace.after(run);
        return outcome === undefined ? undefined : (this.#finishInstruction() ?? outcome);
      }
      // Nothing of an instruction is left to be done then.
      case KVM_EXIT.IOAPIC_EOI:
        return this.#handler.handle();
      case KVM_EXIT.HLT:
        return HALTED;
      case KVM_EXIT.SHUTDOWN:
        return SHUTDOWN;
      case KVM_EXIT.INTR:
      case KVM_EXIT.IRQ_WINDOW_OPEN:
        return undefined;
      case KVM_EXIT.DEBUG:
        return { reason: 'debug', event: decodeDebugEvent(run, this.#options.index) };
      case KVM_EXIT.SYSTEM_EVENT: {
        const event = decodeSystemEvent(run);
        if (event !== undefined) return { reason: event };
        throw this.#unknownExit(reason);
      }
      case KVM_EXIT.FAIL_ENTRY:
        throw this.#failEntry();
      case KVM_EXIT.INTERNAL_ERROR:
        throw this.#internalError();
      default:
        throw this.#unknownExit(reason);
    }
  }

  #become(state: number): void {
    Atomics.store(this.#control, this.#base + STATE, state);
    Atomics.notify(this.#control, this.#base + STATE);
  }

  #runFailed(errno: number): HypervisorError {
    const { text, info } = this.#options.dump();
    const syscall = this.#options.failedCall();
    return new HypervisorError(
      'ERR_SYSCALL',
      `${syscall} of vCPU ${this.#options.index} failed with errno ${errno}\n${text}`,
      {
        errno,
        syscall,
        info: { vcpu: this.#options.index, ...info },
      },
    );
  }

  #failEntry(): HypervisorError {
    const hardwareReason = this.#run.getBigUint64(KVM_RUN.failEntry.hardwareEntryFailureReason, true);
    const cpu = this.#run.getUint32(KVM_RUN.failEntry.cpu, true);
    const { text, info } = this.#options.dump();
    return new HypervisorError(
      'ERR_VCPU_FAIL_ENTRY',
      `vCPU ${this.#options.index}: the processor refused to enter the guest, hardware reason ${hex(hardwareReason)} on CPU ${cpu}; its state is not valid\n${text}`,
      { info: { vcpu: this.#options.index, hardwareReason, cpu, ...info } },
    );
  }

  #internalError(): HypervisorError {
    const { suberror, data } = decodeInternalError(this.#run);
    const { text, info } = this.#options.dump();
    const hint =
      suberror === CANNOT_EMULATE && this.#options.memory.isWatched
        ? '; KVM emulates every instruction that writes to a watched page, and knows few of the rarer ones'
        : '';
    return new HypervisorError(
      'ERR_VCPU_INTERNAL',
      `vCPU ${this.#options.index}: KVM stopped at ${SUBERRORS[suberror] ?? SUBERRORS[0]} (suberror ${suberror})${hint}\n${text}`,
      { info: { vcpu: this.#options.index, suberror, data, ...info } },
    );
  }

  #unknownExit(reason: number): HypervisorError {
    const { text, info } = this.#options.dump();
    return new HypervisorError(
      'ERR_VCPU_UNKNOWN_EXIT',
      `vCPU ${this.#options.index}: exit reason ${reason} (${exitName(reason)}) has no handler\n${text}`,
      { info: { vcpu: this.#options.index, exitReason: reason, ...info } },
    );
  }
}
