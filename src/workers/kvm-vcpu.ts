// A vCPU on the kvm engine, as its worker offers it to the main thread: create, start state, registers, run, close.
// vCPU thread: every ioctl of the vCPU comes from here.

import { type NativeVcpu, native } from '../../native/index.ts';
import type { DeviceHandlers } from '../../shared/device.ts';
import { DeviceTable } from '../../shared/device-table.ts';
import { HypervisorError } from '../../shared/errors.ts';
import { ExitTrace } from '../../shared/exit-trace.ts';
import {
  KVM_DEBUGREGS,
  KVM_FPU,
  KVM_LAPIC,
  KVM_MP_STATE_STRUCT,
  KVM_REGS,
  KVM_SREGS,
  KVM_VCPU_EVENTS,
  KVM_XCRS,
  KVM_XSAVE,
} from '../../shared/generated/kvm-abi.ts';
import type { GuestMemory } from '../../shared/guest-memory.ts';
import type {
  BootState,
  RunOutcome,
  StateName,
  VcpuApi,
  VcpuConnection,
  VcpuCreated,
  VcpuSetup,
  VcpuTask,
} from '../../shared/protocol.ts';
import { PAGE_SIZE } from '../../shared/units.ts';
import {
  decodeMpState,
  decodeRegs,
  decodeSregs,
  encodeMpState,
  encodeRegs,
  encodeSregs,
} from '../../shared/vcpu-codec.ts';
import { dumpInfo, formatDump } from '../../shared/vcpu-dump.ts';
import type { Regs, Sregs } from '../../shared/vcpu-state.ts';
import { VcpuStatsWords } from '../../shared/vcpu-stats.ts';
import { attachMemory } from './attach-memory.ts';
import { loadDeviceModules } from './device-modules.ts';
import { ExitHandler } from './exit-handler.ts';
import { type RegisterDump, RunLoop } from './run-loop.ts';
import { Throttle } from './throttle.ts';
import { VcpuThread } from './vcpu-thread.ts';

const STATE_SIZES: Readonly<Record<StateName, number>> = {
  regs: KVM_REGS.SIZE,
  sregs: KVM_SREGS.SIZE,
  fpu: KVM_FPU.SIZE,
  xsave: KVM_XSAVE.SIZE,
  xcrs: KVM_XCRS.SIZE,
  debugregs: KVM_DEBUGREGS.SIZE,
  events: KVM_VCPU_EVENTS.SIZE,
  mpState: KVM_MP_STATE_STRUCT.SIZE,
  lapic: KVM_LAPIC.SIZE,
};

const CODE_BYTES_MAX = 15;

export class KvmVcpu implements VcpuApi {
  readonly #task: VcpuTask<unknown>;
  readonly #threadId: number;
  readonly #thread: VcpuThread;
  readonly #memory: GuestMemory;
  readonly #stats: VcpuStatsWords;
  readonly #onClose: () => void;
  #vcpu: NativeVcpu | undefined;
  #loop: RunLoop | undefined;
  #handlers: readonly (DeviceHandlers | undefined)[] = [];

  constructor(task: VcpuTask<unknown>, threadId: number, onClose: () => void) {
    this.#task = task;
    this.#threadId = threadId;
    this.#onClose = onClose;
    this.#stats = new VcpuStatsWords(task.stats, task.index);
    this.#thread = new VcpuThread(new Int32Array(task.control), task.index);
    // Its devices' writes count as its own too, as on the host engine.
    this.#memory = attachMemory(task.memory, task.index);
  }

  hello(): number {
    native();
    return this.#threadId;
  }

  create(setup: VcpuSetup): VcpuCreated {
    if (setup.kvm === undefined)
      throw new HypervisorError('ERR_ENGINE', 'a vCPU of the kvm engine needs a VM descriptor');
    if (setup.affinity !== undefined) this.#thread.setAffinity(setup.affinity);
    const vcpu = native().createVcpu(setup.kvm.vmFd, this.#task.index, this.#stats.native);
    try {
      vcpu.setCpuid(setup.kvm.cpuid);
    } catch (error) {
      vcpu.close();
      throw error;
    }
    this.#vcpu = vcpu;
    this.#thread.open();
    return { runBuffer: vcpu.runBuffer };
  }

  async connect(connection: VcpuConnection): Promise<void> {
    const vcpu = this.#created();
    const { run, runBuffer } = vcpu;
    const { index } = this.#task;
    const handlers = await loadDeviceModules(connection.devices, 'vcpu', index, this.#memory);
    this.#handlers = handlers;
    const control = new Int32Array(this.#task.control);
    this.#loop = new RunLoop({
      index,
      control,
      kvmRun: run,
      failedCall: () => vcpu.failedCall,
      runBuffer,
      handler: new ExitHandler({
        index,
        control,
        run: new DataView(runBuffer),
        table: new DeviceTable(connection.devices),
        handlers,
        stats: this.#stats,
        memory: this.#memory,
      }),
      stats: this.#stats,
      trace: connection.trace === undefined ? undefined : new ExitTrace(connection.trace),
      memory: this.#memory,
      throttle: new Throttle({ index, control, stats: this.#stats, heartbeat: native().heartbeat }),
      dump: () => this.#dump(),
    });
  }

  boot(state: BootState): void {
    if (state.sregs !== undefined) this.setState('sregs', encodeSregs(state.sregs, this.getState('sregs')));
    if (state.regs !== undefined) this.setState('regs', encodeRegs(state.regs, this.getState('regs')));
    const wanted = state.runnable === false ? 'uninitialized' : 'runnable';
    if (decodeMpState(this.getState('mpState')) !== wanted) this.setState('mpState', encodeMpState(wanted));
  }

  run(): RunOutcome {
    if (this.#loop === undefined) throw this.#notCreated();
    return this.#loop.enter();
  }

  getState(name: StateName): Uint8Array {
    const bytes = new Uint8Array(STATE_SIZES[name]);
    this.#created().getState(name, bytes);
    return bytes;
  }

  setState(name: StateName, bytes: Uint8Array): void {
    this.#created().setState(name, bytes);
  }

  getMsrs(indices: Uint32Array): BigUint64Array {
    return this.#created().getMsrs(indices);
  }

  setMsrs(indices: Uint32Array, values: BigUint64Array): void {
    this.#created().setMsrs(indices, values);
  }

  setGuestDebug(bytes: Uint8Array): void {
    this.#created().setGuestDebug(bytes);
  }

  translate(linear: bigint): bigint | undefined {
    return this.#created().translate(linear);
  }

  setAffinity(cpus: readonly number[]): void {
    this.#thread.setAffinity(cpus);
  }

  close(): void {
    this.#thread.close();
    this.#memory[Symbol.dispose]();
    this.#vcpu?.close();
    this.#vcpu = undefined;
    this.#loop = undefined;
    for (const handlers of this.#handlers) handlers?.close?.();
    this.#handlers = [];
    this.#onClose();
  }

  #created(): NativeVcpu {
    if (this.#vcpu === undefined) throw this.#notCreated();
    return this.#vcpu;
  }

  #notCreated(): HypervisorError {
    return new HypervisorError('ERR_STATE', `vCPU ${this.#task.index} was not created yet, or is closed`);
  }

  /** Registers and code bytes where the guest is. Must not fail: it describes another failure. */
  #dump(): RegisterDump {
    try {
      const regs = decodeRegs(this.getState('regs'));
      const sregs = decodeSregs(this.getState('sregs'));
      const code = this.#codeAt(regs, sregs);
      return { text: formatDump(regs, sregs, code), info: dumpInfo(regs, sregs, code) };
    } catch (error) {
      return {
        text: `(its registers could not be read: ${error instanceof Error ? error.message : String(error)})`,
        info: {},
      };
    }
  }

  #codeAt(regs: Regs, sregs: Sregs): Uint8Array | undefined {
    try {
      // In 64-bit mode the base of cs counts as 0.
      const linear = BigInt.asUintN(64, (sregs.cs.l === 0 ? sregs.cs.base : 0n) + regs.rip);
      const gpa = this.#created().translate(linear);
      if (gpa === undefined) return undefined;
      const code = new Uint8Array(Math.min(CODE_BYTES_MAX, PAGE_SIZE - Number(gpa % BigInt(PAGE_SIZE))));
      this.#memory.read(gpa, code);
      return code;
    } catch {
      return undefined;
    }
  }
}
