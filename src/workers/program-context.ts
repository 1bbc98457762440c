// The guest's side of the host engine: what a program calls becomes an exit in a page of kvm_run's layout, and goes the very way
// that a KVM exit goes. vCPU thread.
// A program cannot be interrupted from outside: requests are honoured at each exit and checkpoint. A pause parks the thread there;
// a stop (and HLT, and a device that ends the VM) unwinds the program with a private exception.

import {
  REQUEST,
  REQUEST_STOP,
  STATE,
  STATE_GUEST,
  STATE_OUTSIDE,
  STATE_PARKED,
  vcpuBase,
} from '../../shared/control-block.ts';
import type { DeviceValue } from '../../shared/device.ts';
import { outOfRange } from '../../shared/errors.ts';
import type { ExitTrace } from '../../shared/exit-trace.ts';
import { KVM_EXIT, KVM_EXIT_IO, KVM_RUN } from '../../shared/generated/kvm-abi.ts';
import type { GuestMemory } from '../../shared/guest-memory.ts';
import { loadValue, storeValue } from '../../shared/io-dispatch.ts';
import type { ProgramContext } from '../../shared/program.ts';
import type { RunOutcome } from '../../shared/protocol.ts';
import { PAGE_SIZE, toU64 } from '../../shared/units.ts';
import type { VcpuStatsWords } from '../../shared/vcpu-stats.ts';
import type { ExitHandler } from './exit-handler.ts';
import type { Throttle } from './throttle.ts';

/** Bytes of a host vCPU's page: kvm_run, then the data of a port exit where KVM has it too. */
export const HOST_RUN_SIZE = 2 * PAGE_SIZE;
const DATA_OFFSET = PAGE_SIZE;

/** Unwinds a program. Never leaves this engine: programs that catch it meet it again at their next exit. */
export class Unwind {
  readonly outcome: RunOutcome;

  constructor(outcome: RunOutcome) {
    this.outcome = outcome;
  }
}

export interface ExitMakerOptions {
  readonly index: number;
  readonly vcpus: number;
  readonly control: Int32Array;
  readonly run: DataView;
  readonly handler: ExitHandler;
  readonly stats: VcpuStatsWords;
  readonly trace: ExitTrace | undefined;
  readonly memory: GuestMemory;
  readonly throttle: Throttle;
  readonly data: unknown;
}

function checkSize(size: number, largest: 4 | 8): void {
  if (size !== 1 && size !== 2 && size !== 4 && size !== largest)
    throw outOfRange('size', largest === 4 ? '1, 2 or 4' : '1, 2, 4 or 8', size);
}

export class ExitMaker implements ProgramContext {
  readonly vcpu: number;
  readonly vcpus: number;
  readonly memory: GuestMemory;
  readonly data: unknown;
  readonly #control: Int32Array;
  readonly #base: number;
  readonly #run: DataView;
  readonly #handler: ExitHandler;
  readonly #stats: VcpuStatsWords;
  readonly #trace: ExitTrace | undefined;
  readonly #throttle: Throttle;
  #enteredAt = 0;
  #ended: Unwind | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: ExitMakerOptions) {
    this.vcpu = options.index;
    this.vcpus = options.vcpus;
    this.memory = options.memory;
    this.data = options.data;
    this.#control = options.control;
    this.#base = vcpuBase(options.index);
    this.#run = options.run;
    this.#handler = options.handler;
    this.#stats = options.stats;
    this.#trace = options.trace;
    this.#throttle = options.throttle;
    this.#throttle.begin();
  }

  /** How the program ended in spite of what it caught; undefined: it simply returned. Throws what a device handler threw. */
  outcome(): RunOutcome | undefined {
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.#ended?.outcome;
  }

  out(port: number, size: number, value: number): void {
    this.#checkPort(port, size);
    storeValue(this.#run, DATA_OFFSET, size, value);
    this.#pio(KVM_EXIT_IO.OUT, port, size);
  }

  in(port: number, size: number): number {
    this.#checkPort(port, size);
    this.#pio(KVM_EXIT_IO.IN, port, size);
    return Number(loadValue(this.#run, DATA_OFFSET, size));
  }

  mmioRead(addr: number | bigint, size: number): DeviceValue {
    checkSize(size, 8);
    this.#mmio(toU64(addr, 'addr'), size, 0);
    return loadValue(this.#run, KVM_RUN.mmio.data, size);
  }

  mmioWrite(addr: number | bigint, size: number, value: DeviceValue): void {
    checkSize(size, 8);
    const at = toU64(addr, 'addr');
    storeValue(this.#run, KVM_RUN.mmio.data, size, value);
    this.#mmio(at, size, 1);
  }

  halt(): never {
    this.#run.setUint32(KVM_RUN.exitReason, KVM_EXIT.HLT, true);
    this.#trace?.before(this.#run);
    this.#stats.countExit(KVM_EXIT.HLT, this.#sinceEntry(), 0);
    throw this.#end({ reason: 'halted' });
  }

  checkpoint(): void {
    const control = this.#control;
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#ended !== undefined) throw this.#ended;
    this.#throttle.pace();
    for (;;) {
      Atomics.store(control, this.#base + STATE, STATE_GUEST);
      const request = Atomics.load(control, this.#base + REQUEST);
      if (request === 0) break;
      if ((request & REQUEST_STOP) !== 0) throw this.#end({ reason: 'stopped' });
      Atomics.store(control, this.#base + STATE, STATE_PARKED);
      Atomics.notify(control, this.#base + STATE);
      Atomics.wait(control, this.#base + REQUEST, request);
    }
    this.#enteredAt = performance.now();
  }

  #checkPort(port: number, size: number): void {
    if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw outOfRange('port', 'a port from 0 to 0xffff', port);
    checkSize(size, 4);
  }

  #pio(direction: number, port: number, size: number): void {
    const run = this.#run;
    run.setUint32(KVM_RUN.exitReason, KVM_EXIT.IO, true);
    run.setUint8(KVM_RUN.io.direction, direction);
    run.setUint8(KVM_RUN.io.size, size);
    run.setUint16(KVM_RUN.io.port, port, true);
    run.setUint32(KVM_RUN.io.count, 1, true);
    run.setBigUint64(KVM_RUN.io.dataOffset, BigInt(DATA_OFFSET), true);
    this.#exit(KVM_EXIT.IO);
  }

  #mmio(addr: number, size: number, isWrite: number): void {
    const run = this.#run;
    run.setUint32(KVM_RUN.exitReason, KVM_EXIT.MMIO, true);
    run.setBigUint64(KVM_RUN.mmio.physAddr, BigInt(addr), true);
    run.setUint32(KVM_RUN.mmio.len, size, true);
    run.setUint8(KVM_RUN.mmio.isWrite, isWrite);
    this.#exit(KVM_EXIT.MMIO);
  }

  /** The exit in the page, as the run loop handles one; then back to the program, unless something ended it. */
  #exit(reason: number): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#ended !== undefined) throw this.#ended;
    const guestNs = this.#sinceEntry();
    const left = performance.now();
    Atomics.store(this.#control, this.#base + STATE, STATE_OUTSIDE);
    this.#trace?.before(this.#run);
    let outcome: RunOutcome | undefined;
    try {
      outcome = this.#handler.handle();
    } catch (error) {
      // Even a program that catches this has broken its machine: the VM ends with the handler's error.
      this.#failure = { error };
      throw error;
    }
    this.#trace?.after(this.#run);
    this.#stats.countExit(reason, guestNs, (performance.now() - left) * 1e6);
    if (outcome !== undefined) throw this.#end(outcome);
    this.checkpoint();
  }

  #sinceEntry(): number {
    return (performance.now() - this.#enteredAt) * 1e6;
  }

  #end(outcome: RunOutcome): Unwind {
    this.#ended ??= new Unwind(outcome);
    return this.#ended;
  }
}
