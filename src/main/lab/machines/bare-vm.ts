// The lab's baseline machine: KVM's ioctls, its vCPUs' exits handled by a loop of C or handed to a thread of C, slots and dirty log as the workload asks for them.
// What the library's machine is compared with. Main thread; its vCPUs are workers.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type NativeEventFd, type NativePageTracker, type NativeVm, native } from '../../../../native/index.ts';
import { HypervisorError, messageOf } from '../../../../shared/errors.ts';
import { KVM_MEM } from '../../../../shared/generated/kvm-abi.ts';
import { STORM_DATA } from '../../../../shared/lab/storm.ts';
import { PAGE_SIZE } from '../../../../shared/units.ts';
import type { VcpuBoot } from '../../images/image.ts';
import type { KvmMemory } from '../../memory/kvm-memory.ts';
import { kvmDevice } from '../../vm/engine.ts';
import { KvmMachine } from '../../vm/kvm-machine.ts';
import { distFile } from '../../vm/worker-file.ts';

/** A slot as it was registered; `bitmap` has a bit per page, in whole words. */
interface BareSlot {
  readonly id: number;
  readonly guestAddr: number;
  readonly size: number;
  readonly hostAddr: bigint;
  readonly owner: SharedArrayBuffer;
  readonly bitmap: Uint8Array;
}

/** How the data's pages are tracked; 'ring' is chosen with the machine. */
export type BareLog = 'bitmap' | 'manual' | 'ring' | 'pagemap';

export interface BareVmOptions {
  readonly log?: BareLog;
  /** Of each vCPU, with the log 'ring'. */
  readonly ringEntries?: number;
  /** Exits are handled by one thread for all vCPUs, not by theirs. */
  readonly served?: boolean;
}

/** A slot far above those of the memory, for regions that come and go. */
const SPARE_SLOT = 1000;

export class BareVm implements AsyncDisposable {
  readonly #machine: KvmMachine;
  readonly #vm: NativeVm;
  readonly #slots: readonly BareSlot[];
  readonly #log: BareLog;
  readonly #bell: SharedArrayBuffer | undefined;
  #tracker: NativePageTracker | undefined;
  readonly #workers: { readonly worker: Worker; readonly exited: Promise<unknown> }[] = [];
  /** Rejects when a vCPU's thread fails. */
  readonly failed: Promise<never>;
  #fail: (error: HypervisorError) => void = () => {};

  /** Registers every region of `memory` as a slot. @throws HypervisorError; nothing stays open then */
  constructor(memory: KvmMemory, vcpus: number, { log = 'bitmap', ringEntries, served = false }: BareVmOptions = {}) {
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => {});
    this.#log = log;
    this.#bell = served ? new SharedArrayBuffer(4) : undefined;
    this.#machine = new KvmMachine(kvmDevice(), vcpus, log === 'ring' ? { ringEntries } : {});
    this.#vm = this.#machine.vm;
    this.#slots = memory.regions().map(({ guestAddr, size, hostAddr, buffer }, id) => ({
      id,
      guestAddr,
      size,
      hostAddr,
      owner: buffer,
      bitmap: new Uint8Array(8 * Math.ceil(size / PAGE_SIZE / 64)),
    }));
    try {
      if (log === 'manual') this.#vm.setManualLog(true, false);
      this.#register(0);
    } catch (error) {
      this.#machine.close();
      throw error;
    }
  }

  /** Starts the vCPUs' threads, and that which serves them. `state`: the words of shared/lab/storm.ts. */
  start(boots: readonly VcpuBoot[], state: SharedArrayBuffer, cpus: readonly number[]): void {
    const bell = this.#bell;
    if (bell !== undefined) this.#spawn('exit-server', { state, bell });
    for (const [index, { regs = {}, sregs = {} }] of boots.entries()) {
      this.#spawn('bare-vcpu', {
        vmFd: this.#vm.fd,
        index,
        cpuid: this.#machine.cpuid(index, boots.length),
        regs,
        sregs,
        state,
        bell,
        cpus: cpus.length === 0 ? [] : [cpus[index % cpus.length]],
      });
    }
  }

  /** Writes of one byte to `port` signal the event from now on, inside the kernel: they are no exits any more. */
  signalOnWrite(port: number, event: NativeEventFd): void {
    this.#vm.assignIoEventFd('pio', port, 1, null, event);
  }

  /** Tracks the data's slots from now on: KVM_MEM_LOG_DIRTY_PAGES, or, for 'pagemap', userfaultfd. */
  startLog(): void {
    if (this.#log !== 'pagemap') {
      this.#register(KVM_MEM.LOG_DIRTY_PAGES);
      return;
    }
    const tracker = native().openPageTracker();
    this.#tracker = tracker;
    for (const { hostAddr, size } of this.#data()) tracker.register(hostAddr, size);
  }

  /**
   * Collects and clears what was written to the data, by the ioctls of its log: KVM_GET_DIRTY_LOG, the same with KVM_CLEAR_DIRTY_LOG,
   * KVM_RESET_DIRTY_RINGS, PAGEMAP_SCAN. How many pages it was.
   */
  takeLog(): number {
    if (this.#log === 'ring') this.#vm.collectRings();
    let pages = 0;
    for (const { id, hostAddr, size, bitmap } of this.#data()) {
      const found = this.#tracker?.scan(hostAddr, size, bitmap, null, 0);
      pages += found ?? this.#vm.orDirtyLog(id, bitmap, 0, null, 0);
    }
    return pages;
  }

  /** Maps memory and registers it as a slot; the memory. */
  addSpare(guestAddr: number, size: number): SharedArrayBuffer {
    const { hostAddr, buffer } = native().mapMemory({ size, kind: 'anonymous', name: 'node-kvm:lab' });
    this.#vm.setMemoryRegion(SPARE_SLOT, 0, guestAddr, size, hostAddr, buffer);
    return buffer;
  }

  /** Deletes the slot of addSpare(), and lets its memory go. */
  removeSpare(guestAddr: number, buffer: SharedArrayBuffer): void {
    this.#vm.setMemoryRegion(SPARE_SLOT, 0, guestAddr, 0, 0n, null);
    native().countGarbage(buffer);
  }

  /** After the words have told the vCPUs that it is over. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map(({ exited }) => exited));
    this.#tracker?.close();
    this.#machine.close();
  }

  #data(): readonly BareSlot[] {
    return this.#slots.filter(({ guestAddr }) => guestAddr >= STORM_DATA);
  }

  #register(flags: number): void {
    for (const { id, guestAddr, size, hostAddr, owner } of this.#slots) {
      const own = guestAddr >= STORM_DATA ? flags : 0;
      this.#vm.setMemoryRegion(id, own, guestAddr, size, hostAddr, owner);
    }
  }

  #spawn(name: 'bare-vcpu' | 'exit-server', workerData: Readonly<Record<string, unknown>>): void {
    const worker = new Worker(distFile(`workers/lab/${name}-worker.js`), { workerData });
    worker.on('error', cause => {
      this.#fail(
        new HypervisorError('ERR_LAB_ACTOR', `a thread of the baseline ended: ${messageOf(cause)}`, { cause }),
      );
    });
    this.#workers.push({ worker, exited: once(worker, 'exit').catch(() => {}) });
  }
}
