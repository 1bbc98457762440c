// KVM's memory slots of one memory, and KVM's dirty log of them: bitmaps, or the rings of a VM that was made with them. Thread: the
// memory's owner. Regions are the truth about slots (`region.slot`); this class makes the kernel follow, all or nothing, with the vCPUs
// held outside KVM_RUN meanwhile: what a guest wrote between "read the log" and "delete the slot" would be lost.

import type { NativeVm } from '../../../native/index.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import { KVM_CAP, KVM_DIRTY_LOG, KVM_MEM } from '../../../shared/generated/kvm-abi.ts';
import { PAGE_SIZE } from '../../../shared/units.ts';
import { WRITER_GUEST, WRITER_VCPU } from '../../../shared/writer.ts';
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

/** A VM, and what there is to know about it. */
export interface VmAttachment {
  readonly vm: NativeVm;
  /** We duplicated the descriptor, and close it. */
  readonly owned: boolean;
  /** Undefined: the caller keeps the vCPUs out of KVM_RUN, see CALLER_QUIESCES. */
  readonly quiescer: Quiescer | undefined;
  /** It logs into its vCPUs' rings, and never into bitmaps. */
  readonly ring: boolean;
  /** How many vCPUs write to it, where that is known. */
  readonly vcpus: number | undefined;
}

interface Attached extends VmAttachment {
  readonly quiescer: Quiescer;
  readonly limit: number;
  /** For writes that the log does not attribute itself. */
  readonly guestWriter: number;
  /** What KVM was told last. */
  mode: LogMode;
}

/** How KVM is to log, where it logs into bitmaps. */
export interface LogMode {
  /** KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: fetching only copies, and pages are protected again in chunks. */
  readonly manual: boolean;
  /** Slots begin with every page dirty and none protected: turning the log on costs the guest nothing. Manual logs only. */
  readonly initiallySet: boolean;
}

const PLAIN_LOG: LogMode = { manual: false, initiallySet: false };

/** A region whose slot could not be restored after a failure: the kernel refused twice. */
export type SlotLost = (region: OwnedRegion) => void;

export class Slots implements DirtySource {
  #attached: Attached | undefined;
  #logging = false;
  #mode: LogMode = PLAIN_LOG;
  readonly #onLost: SlotLost;

  constructor(onLost: SlotLost) {
    this.#onLost = onLost;
  }

  get attached(): boolean {
    return this.#attached !== undefined;
  }

  /** How the attached VM logs; undefined without one. */
  get log(): 'bitmap' | 'ring' | undefined {
    if (this.#attached === undefined) return undefined;
    return this.#attached.ring ? 'ring' : 'bitmap';
  }

  /** The attached VM offers the manual log. */
  get offersManualLog(): boolean {
    const attached = this.#attached;
    return attached !== undefined && !attached.ring && manualOptions(attached.vm) !== 0;
  }

  /** KVM_CAP_NR_MEMSLOTS; 0 without a VM. */
  get limit(): number {
    return this.#attached?.limit ?? 0;
  }

  /** Makes `regions` (which have ids) the slots of `vm`; `publish` as in replace(). Nothing is attached when it throws. */
  attach(attachment: VmAttachment, regions: readonly OwnedRegion[], publish: () => void): void {
    const { vm, quiescer = CALLER_QUIESCES, vcpus } = attachment;
    const guestWriter = vcpus === 1 ? WRITER_VCPU : WRITER_GUEST;
    const attached: Attached = { ...attachment, quiescer, limit: slotLimit(vm), guestWriter, mode: PLAIN_LOG };
    this.#attached = attached;
    try {
      if (this.#logging) prepareLog(attached, { ...this.#mode, initiallySet: false });
      this.replace([], regions, publish);
    } catch (error) {
      this.#attached = undefined;
      throw error;
    }
  }

  /** Deletes the slots; the log of them is collected first; `publish` as in replace(). */
  detach(regions: readonly OwnedRegion[], publish: () => void): void {
    const attached = this.#attached;
    if (attached === undefined) return;
    this.replace(regions, [], publish);
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
   * log of what is deleted is collected first, so nothing is lost, whether it succeeds or not. `publish` has the table follow, and is called last: before
   * the vCPUs go on, since one that came to a page without a slot would store into what its old table still calls RAM.
   */
  replace(old: readonly OwnedRegion[], next: readonly OwnedRegion[], publish: () => void): void {
    const attached = this.#attached;
    if (attached === undefined) {
      publish();
      return;
    }
    const gone = old.filter(hasSlot);
    const fresh = next.filter(hasSlot);
    if (gone.length === 0) {
      // Only additions: no vCPU has to stop for them.
      this.#swap(attached.vm, gone, fresh);
      publish();
      return;
    }
    attached.quiescer.quiesce(() => {
      this.collect(gone);
      this.#swap(attached.vm, gone, fresh);
      publish();
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

  /** How to log from the next start() on. */
  configure(mode: LogMode): void {
    this.#mode = mode;
  }

  /** @throws `ERR_DIRTY_SOURCE` when it logs already, in the other way than `log` asks for */
  refuseOtherLog(log: 'plain' | 'manual' | undefined): void {
    if (log === undefined || !this.#logging || this.#attached === undefined || this.#attached.ring) return;
    const present = this.#attached.mode.manual ? 'manual' : 'plain';
    if (log === present) return;
    throw new HypervisorError(
      'ERR_DIRTY_SOURCE',
      `log '${log}': KVM's log is on as '${present}' already; disableDirtyTracking() first (pages that are dirty stay so)`,
    );
  }

  /** Turns logging on for every slot, or for none. Without a VM: the slots of the next one will log. */
  start(regions: readonly OwnedRegion[]): void {
    if (!this.#logging) this.#setLogging(regions, true);
  }

  /** Turns logging off for every slot, or for none; what was logged is collected first. */
  stop(regions: readonly OwnedRegion[]): void {
    if (this.#logging) this.#setLogging(regions, false);
  }

  /**
   * The log of every slot into *fresh*. Failing halfway loses nothing: what was read is in *fresh* by then. With rings: a page that a vCPU wrote without
   * having left the guest since may still be in the processor's own list (Intel's PML), and is reported once it has left.
   */
  collect(regions: readonly OwnedRegion[]): void {
    const attached = this.#attached;
    if (attached === undefined || !this.#logging) return;
    const { vm, guestWriter } = attached;
    if (attached.ring) vm.collectRings();
    for (const { slot, offset, mapping } of regions) {
      if (slot === undefined) continue;
      const { fresh, writers = null } = mapping;
      // A call that fails halfway may have found some.
      let found = 1;
      try {
        found = vm.orDirtyLog(slot, fresh.bytes, offset / PAGE_SIZE, writers, guestWriter);
      } finally {
        mapping.noteFresh(found);
      }
    }
  }

  /** Nothing to do: replace() makes and deletes slots as they log or not, in one step with the region's own change. */
  admit(): void {}

  /** As admit(). */
  dismiss(): void {}

  /** The VM is detached by its own calls. */
  close(): void {
    this.#logging = false;
  }

  #setLogging(regions: readonly OwnedRegion[], logging: boolean): void {
    const attached = this.#attached;
    if (attached === undefined) {
      this.#logging = logging;
      return;
    }
    attached.quiescer.quiesce(() => {
      this.collect(regions);
      if (logging) prepareLog(attached, this.#mode);
      const before = this.#logging;
      const changed: SlottedRegion[] = [];
      try {
        this.#logging = logging;
        for (const region of regions.filter(hasSlot)) {
          this.#create(attached.vm, region);
          changed.push(region);
        }
        // Slots that are made later (a region is split or added) begin clean: what they held is in *fresh*.
        if (logging && this.#mode.initiallySet) prepareLog(attached, { ...this.#mode, initiallySet: false });
      } catch (error) {
        this.#logging = before;
        for (const region of changed.reverse()) {
          if (attempt(() => this.#create(attached.vm, region))) continue;
          // Not with the wrong flags, either: a guest that writes there unseen is worse than one that meets a hole.
          attempt(() => remove(attached.vm, region));
          this.#onLost(region);
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

/** How slots that begin to log do it from now on. A VM with rings has no choice, and one without the manual log has none either. */
function prepareLog(attached: Attached, { manual, initiallySet }: LogMode): void {
  const options = attached.ring ? 0 : manualOptions(attached.vm);
  const mode = {
    manual: manual && options !== 0,
    initiallySet: manual && initiallySet && (options & KVM_DIRTY_LOG.INITIALLY_SET) !== 0,
  };
  if (mode.manual === attached.mode.manual && mode.initiallySet === attached.mode.initiallySet) return;
  attached.vm.setManualLog(mode.manual, mode.initiallySet);
  attached.mode = mode;
}

/** KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE and KVM_DIRTY_LOG_INITIALLY_SET, as far as KVM has them. */
function manualOptions(vm: NativeVm): number {
  return vm.checkExtension(KVM_CAP.MANUAL_DIRTY_LOG_PROTECT2);
}

function slotLimit(vm: NativeVm): number {
  const limit = vm.checkExtension(KVM_CAP.NR_MEMSLOTS);
  if (limit < 1) throw new HypervisorError('ERR_KVM_CAPABILITY', 'KVM reports no memory slots (KVM_CAP_NR_MEMSLOTS)');
  return limit;
}
