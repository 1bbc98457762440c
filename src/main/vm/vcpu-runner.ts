// Steers one vCPU: runs it, takes it out of the run loop for a control call, pauses, resumes and stops it. Main thread.
// While run() is pending the worker answers no other call: a control call first asks it to leave (REQUEST_SERVICE), then
// calls, then runs it again. One control call at a time.

import type { Remote } from 'comlink';
import { REQUEST_PAUSE, REQUEST_SERVICE, REQUEST_STOP } from '../../../shared/control-block.ts';
import type { RunOutcome, VcpuApi } from '../../../shared/protocol.ts';
import type { Engine } from './engine.ts';
import type { VcpuControl } from './vcpu-control.ts';
import type { VcpuLink } from './vcpu-link.ts';

/** What the machine wants to know of its vCPUs. */
export interface RunnerEvents {
  /** run() returned for a reason of the guest's. */
  outcome(vcpu: number, outcome: RunOutcome): void;
  /** run() failed, or the thread died. */
  failed(vcpu: number, error: unknown): void;
  /** Shall vCPUs be running now? */
  readonly wantsRun: boolean;
}

/** How long a vCPU that was told to stop may take before its thread is ended: a program, or a handler, that never comes back. */
const GRACE_MS: Readonly<Record<Engine, number>> = { host: 200, kvm: 500 };

export class VcpuRunner {
  readonly index: number;
  readonly link: VcpuLink;
  readonly control: VcpuControl;
  readonly #engine: Engine;
  readonly #events: RunnerEvents;
  #running: Promise<void> | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  /** The guest's part is over: HLT, or the program returned. */
  #done: 'halted' | 'returned' | undefined;
  /** How many want it to stay out: a debug event is being looked at, another vCPU's rate is being measured. */
  #holds = 0;
  /** A control call waits for the vCPU to leave, and runs it again afterwards. */
  #serving = false;

  constructor(index: number, engine: Engine, link: VcpuLink, control: VcpuControl, events: RunnerEvents) {
    this.index = index;
    this.link = link;
    this.control = control;
    this.#engine = engine;
    this.#events = events;
    void link.ended.then(() => {
      control.markDead();
      if (link.gone?.code === 'ERR_VCPU_DIED') events.failed(index, link.gone);
    });
  }

  /** Is run() pending? */
  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  get done(): 'halted' | 'returned' | undefined {
    return this.#done;
  }

  /** Lets the vCPU run, unless it does or is done. */
  launch(): void {
    if (this.#running !== undefined || this.#done !== undefined || this.#holds > 0) return;
    this.#running = this.link
      .call(api => api.run() as Promise<RunOutcome>)
      .then(
        outcome => this.#left(outcome),
        (error: unknown) => {
          this.#running = undefined;
          this.#events.failed(this.index, error);
        },
      );
  }

  /** A call of the worker, between two runs when the vCPU is running. */
  async call<T>(invoke: (api: Remote<VcpuApi>) => Promise<T>): Promise<T> {
    const turn = this.#queue.then(async () => {
      if (this.#running !== undefined) {
        this.#serving = true;
        this.control.request(REQUEST_SERVICE);
        await this.#running;
        this.control.withdraw(REQUEST_SERVICE);
        this.#serving = false;
      }
      try {
        return await this.link.call(invoke);
      } finally {
        if (this.#events.wantsRun) this.launch();
      }
    });
    this.#queue = turn.catch(() => {});
    return await turn;
  }

  /** Resolves when the vCPU is outside the guest and stays there until resume(). */
  async pause(): Promise<void> {
    this.control.request(REQUEST_PAUSE);
    if (this.#running === undefined) return;
    // A program cannot leave its stack: it parks at its next exit or checkpoint.
    await (this.#engine === 'host' ? Promise.race([this.#running, this.control.parked()]) : this.#running);
  }

  resume(): void {
    this.control.withdraw(REQUEST_PAUSE);
    this.launch();
  }

  /** Takes the vCPU out for good; resolves when it is out, at the latest after the grace period by ending its thread. */
  async stop(): Promise<void> {
    try {
      this.control.request(REQUEST_STOP);
    } catch {
      // The signal could not be sent. The request is there, and the heartbeat takes the vCPU to it.
    }
    const running = this.#running;
    if (running === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>(resolve => {
      timer = setTimeout(resolve, GRACE_MS[this.#engine], 'late');
    });
    const first = await Promise.race([running, late]);
    clearTimeout(timer);
    if (first === 'late') await this.link.terminate();
    await running;
  }

  /** Asks only, at once: nobody will be there to wait. */
  stopNow(): void {
    this.control.request(REQUEST_STOP);
  }

  /** The vCPU stays outside the run loop until the returned function is called. */
  hold(): () => void {
    this.#holds += 1;
    return () => {
      this.#holds -= 1;
      if (this.#events.wantsRun) this.launch();
    };
  }

  #left(outcome: RunOutcome): void {
    this.#running = undefined;
    if (outcome.reason === 'halted' || outcome.reason === 'returned') this.#done = outcome.reason;
    // Left for a request that was withdrawn meanwhile: go on.
    if (outcome.reason === 'left' && this.#events.wantsRun && !this.#serving) this.launch();
    // 'left' is our own doing; 'stopped' too; a failed device server has reported its error itself.
    if (outcome.reason !== 'left' && outcome.reason !== 'stopped' && outcome.reason !== 'failed')
      this.#events.outcome(this.index, outcome);
  }
}
