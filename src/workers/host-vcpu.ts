// A vCPU on the host engine: a program in place of KVM_RUN, behind the same interface, control block, exits and statistics.
// vCPU thread.

import { STATE, STATE_IDLE, vcpuBase } from '../../shared/control-block.ts';
import type { DeviceHandlers } from '../../shared/device.ts';
import { DeviceTable } from '../../shared/device-table.ts';
import { HypervisorError, messageOf } from '../../shared/errors.ts';
import { ExitTrace } from '../../shared/exit-trace.ts';
import type { GuestMemory } from '../../shared/guest-memory.ts';
import type { RunOutcome, VcpuApi, VcpuConnection, VcpuCreated, VcpuSetup, VcpuTask } from '../../shared/protocol.ts';
import { VcpuStatsWords } from '../../shared/vcpu-stats.ts';
import { attachMemory } from './attach-memory.ts';
import { loadDeviceModules } from './device-modules.ts';
import { ExitHandler } from './exit-handler.ts';
import { ExitMaker, HOST_RUN_SIZE, Unwind } from './program-context.ts';
import { loadProgram, type Runnable } from './program-runner.ts';
import { Throttle } from './throttle.ts';
import { VcpuThread } from './vcpu-thread.ts';

export class HostVcpu implements VcpuApi {
  readonly #task: VcpuTask<unknown>;
  readonly #threadId: number;
  readonly #thread: VcpuThread;
  readonly #memory: GuestMemory;
  readonly #onClose: () => void;
  #runBuffer: SharedArrayBuffer | undefined;
  #program: Runnable | undefined;
  #context: ExitMaker | undefined;
  #handlers: readonly (DeviceHandlers | undefined)[] = [];

  constructor(task: VcpuTask<unknown>, threadId: number, onClose: () => void) {
    this.#task = task;
    this.#threadId = threadId;
    this.#onClose = onClose;
    this.#thread = new VcpuThread(new Int32Array(task.control), task.index);
    // Its devices write through it too: on this engine a vCPU is the program and what it calls.
    this.#memory = attachMemory(task.memory, task.index);
  }

  hello(): number {
    return this.#threadId;
  }

  create(setup: VcpuSetup): VcpuCreated {
    if (setup.affinity !== undefined) this.#thread.setAffinity(setup.affinity);
    this.#runBuffer = new SharedArrayBuffer(HOST_RUN_SIZE);
    this.#thread.open();
    return { runBuffer: this.#runBuffer };
  }

  async connect(connection: VcpuConnection): Promise<void> {
    const { index, vcpus, stats } = this.#task;
    if (connection.program === undefined || this.#runBuffer === undefined) {
      throw new HypervisorError('ERR_ENGINE', 'a vCPU of the host engine needs a program');
    }
    const handlers = await loadDeviceModules(connection.devices, 'vcpu', index, this.#memory);
    this.#handlers = handlers;
    this.#program = await loadProgram(connection.program, this.#memory.wasmMemory);
    const run = new DataView(this.#runBuffer);
    const words = new VcpuStatsWords(stats, index);
    const control = new Int32Array(this.#task.control);
    this.#context = new ExitMaker({
      index,
      vcpus,
      control,
      run,
      handler: new ExitHandler({
        index,
        control,
        run,
        table: new DeviceTable(connection.devices),
        handlers,
        stats: words,
        memory: this.#memory,
      }),
      stats: words,
      trace: connection.trace === undefined ? undefined : new ExitTrace(connection.trace),
      memory: this.#memory,
      throttle: new Throttle({ index, control, stats: words, heartbeat: () => {} }),
      data: connection.program.data,
    });
  }

  /** Programs have no registers to start from. */
  boot(): void {}

  async run(): Promise<RunOutcome> {
    const program = this.#program;
    const context = this.#context;
    if (program === undefined || context === undefined)
      throw new HypervisorError('ERR_STATE', `vCPU ${this.#task.index} was not created yet, or is closed`);
    try {
      context.checkpoint();
      await program(context);
    } catch (thrown) {
      if (!(thrown instanceof Unwind)) throw this.#failed(context, thrown);
    } finally {
      const control = new Int32Array(this.#task.control);
      Atomics.store(control, vcpuBase(this.#task.index) + STATE, STATE_IDLE);
      Atomics.notify(control, vcpuBase(this.#task.index) + STATE);
    }
    return context.outcome() ?? { reason: 'returned' };
  }

  getState(): Uint8Array {
    throw this.#noRegisters();
  }

  setState(): void {
    throw this.#noRegisters();
  }

  getMsrs(): BigUint64Array {
    throw this.#noRegisters();
  }

  setMsrs(): void {
    throw this.#noRegisters();
  }

  setGuestDebug(): void {
    throw this.#noRegisters();
  }

  translate(): bigint | undefined {
    throw this.#noRegisters();
  }

  setAffinity(cpus: readonly number[]): void {
    this.#thread.setAffinity(cpus);
  }

  close(): void {
    this.#thread.close();
    this.#memory[Symbol.dispose]();
    this.#program = undefined;
    this.#context = undefined;
    for (const handlers of this.#handlers) handlers?.close?.();
    this.#handlers = [];
    this.#onClose();
  }

  /** A device handler's error passes as it is; anything else is the program's own. */
  #failed(context: ExitMaker, thrown: unknown): unknown {
    try {
      context.outcome();
    } catch (handlerError) {
      return handlerError;
    }
    const { index } = this.#task;
    return new HypervisorError('ERR_PROGRAM', `the program of vCPU ${index} threw: ${messageOf(thrown)}`, {
      cause: thrown,
      info: { vcpu: index },
    });
  }

  #noRegisters(): HypervisorError {
    return new HypervisorError('ERR_ENGINE', 'a vCPU of the host engine runs a program and has no registers');
  }
}
