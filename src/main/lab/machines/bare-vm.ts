// The lab's baseline machine: KVM's ioctls, its vCPUs' exits handled by a loop of C, slots and dirty log as the workload asks for them.
// What the library's machine is compared with. Main thread; its vCPUs are workers.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type NativeVm, native } from '../../../../native/index.ts';
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
  readonly guestAddr: number;
  readonly size: number;
  readonly hostAddr: bigint;
  readonly owner: SharedArrayBuffer;
  readonly bitmap: Uint8Array;
}

/** A slot far above those of the memory, for regions that come and go. */
const SPARE_SLOT = 1000;

export class BareVm implements AsyncDisposable {
  readonly #machine: KvmMachine;
  readonly #vm: NativeVm;
  readonly #slots: readonly BareSlot[];
  readonly #workers: { readonly worker: Worker; readonly exited: Promise<unknown> }[] = [];
  /** Rejects when a vCPU's thread fails. */
  readonly failed: Promise<never>;
  #fail: (error: HypervisorError) => void = () => {};

  /** Registers every region of `memory` as a slot. @throws HypervisorError; nothing stays open then */
  constructor(memory: KvmMemory, vcpus: number) {
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => {});
    this.#machine = new KvmMachine(kvmDevice(), vcpus);
    this.#vm = this.#machine.vm;
    this.#slots = memory.regions().map(({ guestAddr, size, hostAddr, buffer }) => ({
      guestAddr,
      size,
      hostAddr,
      owner: buffer,
      bitmap: new Uint8Array(8 * Math.ceil(size / PAGE_SIZE / 64)),
    }));
    try {
      this.#register(0);
    } catch (error) {
      this.#machine.close();
      throw error;
    }
  }

  /** Starts the vCPUs' threads. `state`: the words of shared/lab/storm.ts. */
  start(boots: readonly VcpuBoot[], state: SharedArrayBuffer, cpus: readonly number[]): void {
    for (const [index, { regs = {}, sregs = {} }] of boots.entries()) {
      const worker = new Worker(distFile('workers/lab/bare-vcpu-worker.js'), {
        workerData: {
          vmFd: this.#vm.fd,
          index,
          cpuid: this.#machine.cpuid(index, boots.length),
          regs,
          sregs,
          state,
          cpus: cpus.length === 0 ? [] : [cpus[index % cpus.length]],
        },
      });
      worker.on('error', cause => {
        this.#fail(
          new HypervisorError('ERR_LAB_ACTOR', `a vCPU of the baseline ended: ${messageOf(cause)}`, { cause }),
        );
      });
      this.#workers.push({ worker, exited: once(worker, 'exit').catch(() => {}) });
    }
  }

  /** Logs the data's slots from now on: KVM_MEM_LOG_DIRTY_PAGES. */
  startLog(): void {
    this.#register(KVM_MEM.LOG_DIRTY_PAGES);
  }

  /** KVM_GET_DIRTY_LOG of every slot of the data; how many pages were dirty. */
  takeLog(): number {
    let pages = 0;
    for (const [slot, { guestAddr, bitmap }] of this.#slots.entries()) {
      if (guestAddr >= STORM_DATA) pages += this.#vm.orDirtyLog(slot, bitmap, 0, null, 0);
    }
    return pages;
  }

  /** The same with KVM_CLEAR_DIRTY_LOG; before startLog(). */
  useManualLog(): void {
    this.#vm.setManualLog(true, false);
  }

  /** Maps memory and registers it as a slot, then deletes the slot. */
  churn(guestAddr: number, size: number): void {
    const { hostAddr, buffer } = native().mapMemory({ size, kind: 'anonymous', name: 'node-kvm:lab' });
    try {
      this.#vm.setMemoryRegion(SPARE_SLOT, 0, guestAddr, size, hostAddr, buffer);
      this.#vm.setMemoryRegion(SPARE_SLOT, 0, guestAddr, 0, hostAddr, null);
    } finally {
      native().countGarbage(buffer);
    }
  }

  /** After the words have told the vCPUs that it is over. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map(({ exited }) => exited));
    this.#machine.close();
  }

  #register(flags: number): void {
    for (const [slot, { guestAddr, size, hostAddr, owner }] of this.#slots.entries()) {
      const own = guestAddr >= STORM_DATA ? flags : 0;
      this.#vm.setMemoryRegion(slot, own, guestAddr, size, hostAddr, owner);
    }
  }
}
