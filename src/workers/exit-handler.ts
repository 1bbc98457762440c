// Handles one port or MMIO exit of a vCPU: on this thread, by hand-over to the main thread or the I/O worker, or, when nobody
// claims it, by floating the bus. vCPU thread, both engines. Allocates nothing.

import {
  IO_DOORBELL,
  MAILBOX,
  MAILBOX_DEVICE,
  MAILBOX_DONE,
  MAILBOX_EMPTY,
  MAILBOX_FAILED,
  MAILBOX_IO,
  MAILBOX_MAIN,
  MAIN_DOORBELL,
  REQUEST,
  REQUEST_STOP,
  STATE,
  STATE_HANDOVER,
  STATE_OUTSIDE,
  vcpuBase,
} from '../../shared/control-block.ts';
import type { DeviceAccess, DeviceHandlers, EndRequest } from '../../shared/device.ts';
import type { DeviceTable } from '../../shared/device-table.ts';
import type { GuestMemory } from '../../shared/guest-memory.ts';
import { IoDispatch } from '../../shared/io-dispatch.ts';
import type { RunOutcome } from '../../shared/protocol.ts';
import type { VcpuStatsWords } from '../../shared/vcpu-stats.ts';

const STOPPED: RunOutcome = { reason: 'stopped' };
const FAILED: RunOutcome = { reason: 'failed' };

export interface ExitHandlerOptions {
  readonly index: number;
  readonly control: Int32Array;
  readonly run: DataView;
  readonly table: DeviceTable;
  /** By device index; undefined for devices that live elsewhere. */
  readonly handlers: readonly (DeviceHandlers | undefined)[];
  readonly stats: VcpuStatsWords;
  readonly memory: GuestMemory;
}

export class ExitHandler implements DeviceAccess {
  readonly vcpu: number;
  readonly #control: Int32Array;
  readonly #base: number;
  readonly #table: DeviceTable;
  readonly #dispatch: IoDispatch;
  readonly #stats: VcpuStatsWords;
  readonly #memory: GuestMemory;
  #end: RunOutcome | undefined;

  constructor(options: ExitHandlerOptions) {
    this.vcpu = options.index;
    this.#control = options.control;
    this.#base = vcpuBase(options.index);
    this.#table = options.table;
    this.#stats = options.stats;
    this.#memory = options.memory;
    this.#dispatch = new IoDispatch(options.run, options.table, options.handlers, this);
  }

  /** A device on this thread ends the VM. */
  end(reason: EndRequest): void {
    this.#end = { reason };
  }

  /** The exit in the page is KVM_EXIT_IO, KVM_EXIT_MMIO or KVM_EXIT_IOAPIC_EOI. Answers it; an outcome means: leave the loop. */
  handle(): RunOutcome | undefined {
    // Before the devices: what is the guest's RAM to write is no device's, and the guest is only held up here for a watch.
    if (this.#dispatch.storeIn(this.#memory)) return undefined;
    const device = this.#dispatch.target();
    if (device < 0) {
      this.#dispatch.float();
      this.#stats.countUnclaimed();
      return undefined;
    }
    if (!this.#dispatch.isLocal(device)) return this.#handOver(device);
    this.#dispatch.perform(device);
    const end = this.#end;
    this.#end = undefined;
    return end;
  }

  #handOver(device: number): RunOutcome | undefined {
    const control = this.#control;
    const base = this.#base;
    const toIo = this.#table.entries[device]?.where === 'io';
    const mailbox = toIo ? MAILBOX_IO : MAILBOX_MAIN;
    const doorbell = toIo ? IO_DOORBELL : MAIN_DOORBELL;
    this.#stats.countHandover();
    Atomics.store(control, base + STATE, STATE_HANDOVER);
    Atomics.store(control, base + MAILBOX_DEVICE, device);
    Atomics.store(control, base + MAILBOX, mailbox);
    // A stop sets its bit and then takes the mailbox back; whoever comes second sees the other's store.
    if ((Atomics.load(control, base + REQUEST) & REQUEST_STOP) !== 0)
      Atomics.compareExchange(control, base + MAILBOX, mailbox, MAILBOX_EMPTY);
    Atomics.add(control, doorbell, 1);
    Atomics.notify(control, doorbell);
    while (Atomics.load(control, base + MAILBOX) === mailbox) Atomics.wait(control, base + MAILBOX, mailbox);
    const answer = Atomics.exchange(control, base + MAILBOX, MAILBOX_EMPTY);
    Atomics.store(control, base + STATE, STATE_OUTSIDE);
    // The device may have changed the memory, and we were not quiesced for it.
    this.#memory.follow();
    if (answer === MAILBOX_DONE) return undefined;
    return answer === MAILBOX_FAILED ? FAILED : STOPPED;
  }
}
