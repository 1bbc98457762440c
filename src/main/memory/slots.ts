// KVM's memory slots of one memory, and KVM's dirty log of them. Thread: the memory's owner. Regions are the truth about
// slots (`region.slot`); this class makes the kernel follow, all or nothing, with the vCPUs held outside KVM_RUN meanwhile:
// what a guest wrote between "read the log" and "delete the slot" would be lost.

import type { NativeVm } from '../../../native/index.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import { KVM_CAP, KVM_MEM } from '../../../shared/generated/kvm-abi.ts';
import { PAGE_SIZE } from '../../../shared/units.ts';
import { WRITER_GUEST } from '../../../shared/writer.ts';
import type { DirtySource } from './dirty-source.ts';
import { hostAddrOf, type OwnedRegion } from './region-list.ts';

/** Holds all vCPUs outside KVM_RUN while `fn` runs; synchronous. */
export interface Quiescer {
  quiesce<T>(fn: () => T): T;
}

/**
 * For a VM whose vCPUs are not ours (`attachVmFd`): whoever runs them keeps them out of KVM_RUN during changes of slots and
 * of tracking, as the documentation of attachVmFd says.
 */
const CALLER_QUIESCES: Quiescer = { quiesce: fn => fn() };

interface Attached {
  readonly vm: NativeVm;
  /** We duplicated the descriptor, and close it. */
  readonly owned: boolean;
  readonly quiescer: Quiescer;
  readonly limit: number;
}

/** A region whose slot could not be restored after a failure: the kernel refused twice. */
export type SlotLost = (region: OwnedRegion) => void;

export class Slots implements DirtySource {
  #attached: Attached | undefined;
  #logging = false;
  readonly #onLost: SlotLost;

  constructor(onLost: SlotLost) {
    this.#onLost = onLost;
  }

  get attached(): boolean {
    return this.#attached !== undefined;
  }

  /** KVM_CAP_NR_MEMSLOTS; 0 without a VM. */
  get limit(): number {
    return this.#attached?.limit ?? 0;
  }

  /** Makes `regions` (which have ids) the slots of `vm`. Nothing is attached when it throws. */
  attach(vm: NativeVm, owned: boolean, quiescer: Quiescer | undefined, regions: readonly OwnedRegion[]): void {
    this.#attached = { vm, owned, quiescer: quiescer ?? CALLER_QUIESCES, limit: slotLimit(vm) };
    try {
      this.replace([], regions);
    } catch (error) {
      this.#attached = undefined;
      throw error;
    }
  }

  /** Deletes the slots; the log of them becomes *fresh* first. */
  detach(regions: readonly OwnedRegion[]): void {
    const attached = this.#attached;
    if (attached === undefined) return;
    this.replace(regions, []);
    this.#attached = undefined;
    if (attached.owned) attached.vm.close();
  }

  /** Without regard to the log, for dispose: the descriptor goes, or its owner deletes the slots. */
  drop(): void {
    const attached = this.#attached;
    this.#attached = undefined;
    if (attached?.owned === true) attached.vm.close();
  }

  /**
   * Deletes the slots of `old` and creates those of `next`, all or nothing; regions without an id are passed over. The dirty
   * log of what is deleted becomes *fresh* first, so nothing is lost, whether it succeeds or not.
   */
  replace(old: readonly OwnedRegion[], next: readonly OwnedRegion[]): void {
    const attached = this.#attached;
    if (attached === undefined) return;
    const gone = old.filter(hasSlot);
    const fresh = next.filter(hasSlot);
    if (gone.length === 0) {
      // Only additions: no vCPU has to stop for them.
      this.#swap(attached.vm, gone, fresh);
      return;
    }
    attached.quiescer.quiesce(() => {
      this.collect(gone);
      this.#swap(attached.vm, gone, fresh);
    });
  }

  #swap(vm: NativeVm, gone: readonly SlottedRegion[], fresh: readonly SlottedRegion[]): void {
    const deleted: SlottedRegion[] = [];
    const created: SlottedRegion[] = [];
    try {
      for (const region of gone) {
        remove(vm, region);
        deleted.push(region);
      }
      for (const region of fresh) {
        this.#create(vm, region);
        created.push(region);
      }
    } catch (error) {
      for (const region of created.reverse()) attempt(() => remove(vm, region));
      for (const region of deleted.reverse()) {
        if (!attempt(() => this.#create(vm, region))) this.#onLost(region);
      }
      throw error;
    }
  }

  // ── as a source of dirty pages ──

  /** Turns logging on for every slot, or for none. */
  start(regions: readonly OwnedRegion[]): void {
    this.#setLogging(regions, true);
  }

  /** Turns logging off for every slot, or for none; what was logged becomes *fresh* first. */
  stop(regions: readonly OwnedRegion[]): void {
    this.#setLogging(regions, false);
  }

  /** KVM_GET_DIRTY_LOG of every slot into *fresh*. Failing halfway loses nothing: what was read is there by then. */
  collect(regions: readonly OwnedRegion[]): void {
    const vm = this.#attached?.vm;
    if (vm === undefined || !this.#logging) return;
    for (const { slot, offset, mapping } of regions) {
      if (slot === undefined) continue;
      let found = 1;
      try {
        found = vm.orDirtyLog(slot, mapping.fresh.bytes, offset / PAGE_SIZE, mapping.writers ?? null, WRITER_GUEST);
      } finally {
        mapping.noteFresh(found);
      }
    }
  }

  // Regions that come and go are replace()'s, tracking or not; so is the descriptor.

  admit(): void {}

  dismiss(): void {}

  close(): void {}

  #setLogging(regions: readonly OwnedRegion[], logging: boolean): void {
    const attached = this.#attached;
    if (attached === undefined) {
      this.#logging = logging;
      return;
    }
    attached.quiescer.quiesce(() => {
      this.collect(regions);
      const before = this.#logging;
      const changed: SlottedRegion[] = [];
      try {
        this.#logging = logging;
        for (const region of regions.filter(hasSlot)) {
          this.#create(attached.vm, region);
          changed.push(region);
        }
      } catch (error) {
        this.#logging = before;
        for (const region of changed.reverse()) {
          if (!attempt(() => this.#create(attached.vm, region))) this.#onLost(region);
        }
        throw error;
      }
    });
  }

  /** KVM_SET_USER_MEMORY_REGION: creates the slot, or sets the flags of one that exists. */
  #create(vm: NativeVm, region: SlottedRegion): void {
    // A watched page's writes are carried out by the vCPUs' threads: by ours, that is.
    const held = region.watched && this.#attached?.quiescer !== CALLER_QUIESCES;
    const readOnly = region.readOnly || region.slotReadOnly || held ? KVM_MEM.READONLY : 0;
    const log = this.#logging ? KVM_MEM.LOG_DIRTY_PAGES : 0;
    vm.setMemoryRegion(
      region.slot,
      readOnly | log,
      region.guestAddr,
      region.size,
      hostAddrOf(region),
      region.mapping.buffer,
    );
  }
}

type SlottedRegion = OwnedRegion & { readonly slot: number };

function hasSlot(region: OwnedRegion): region is SlottedRegion {
  return region.slot !== undefined;
}

/** Size 0 deletes. */
function remove(vm: NativeVm, region: SlottedRegion): void {
  vm.setMemoryRegion(region.slot, 0, region.guestAddr, 0, hostAddrOf(region), null);
}

/** A step of a rollback: the first error is the one to report. */
function attempt(step: () => void): boolean {
  try {
    step();
    return true;
  } catch {
    return false;
  }
}

function slotLimit(vm: NativeVm): number {
  const limit = vm.checkExtension(KVM_CAP.NR_MEMSLOTS);
  if (limit < 1) throw new HypervisorError('ERR_KVM_CAPABILITY', 'KVM reports no memory slots (KVM_CAP_NR_MEMSLOTS)');
  return limit;
}
