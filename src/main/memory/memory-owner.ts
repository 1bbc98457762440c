// The owner of a memory: regions, slots and dirty state, and every change of them. Thread: the one that made the memory; all
// methods are synchronous, so that thread is the lock. Arguments are validated by KvmMemory. Each change is: check → map → make
// KVM follow (all or nothing) → replace the list → publish.

import { native } from '../../../native/index.ts';
import { HypervisorError } from '../../../shared/errors.ts';
import type { MemoryHandle, RegionDescriptor } from '../../../shared/memory-layout.ts';
import { HOLE_END, HOLE_START, hex, PAGE_SHIFT } from '../../../shared/units.ts';
import type { Writer } from '../../../shared/writer.ts';
import { writerOf } from '../../../shared/writer-numbers.ts';
import { type DirtyTrackingOptions, type SelectionRequest, sourcesFor } from './dirty-selection.ts';
import { DirtyTracker } from './dirty-tracker.ts';
import { createMapping, Mapping, placeExternal, remember } from './mapping.ts';
import { MarkSource } from './mark-source.ts';
import { type MapPlan, type MemoryOptions, planMapping } from './options.ts';
import {
  describe,
  endOf,
  freeSlot,
  hostAddrOf,
  type OwnedRegion,
  placeText,
  withoutWatches,
  withReadOnly,
  withWatched,
} from './region-list.ts';
import { Slots, type VmAttachment } from './slots.ts';
import { TablePublisher } from './table-publisher.ts';
import { WatchList } from './watch.ts';

/** Called with each new table, before other threads hear of it. */
export type Install = (regions: readonly RegionDescriptor[], generation: number) => void;

export interface SlotRequest {
  readonly slot: number;
  readonly guestAddr: number;
  readonly size: number;
  readonly hostAddr: bigint;
  readonly readOnly: boolean;
}

export class MemoryOwner {
  readonly #publisher = new TablePublisher();
  readonly #install: Install;
  readonly #slots = new Slots(region => this.#change([region], [{ ...region, slot: undefined }]));
  readonly #marks = new MarkSource();
  /** Which pages are dirty, and for whom. */
  readonly tracker: DirtyTracker;
  /** Who watches which writes. */
  readonly watches: WatchList;
  readonly #base: Mapping;
  /**
   * One Mapping per buffer: its pages are dirty at every address that they are mapped at. Those whose regions are gone too, as long as
   * their buffer lives: what was dirty is dirty when it is added again.
   */
  readonly #mappings = new WeakMap<SharedArrayBuffer, Mapping>();
  /** A VirtualMachine, of either engine, runs on this memory and ends it itself. */
  #isLent = false;
  /** Ascending by guest address. */
  #regions: readonly OwnedRegion[] = [];

  /** Maps RAM: up to 3 GiB at address 0, the rest at 4 GiB. `install` must work by the time that `start()` is called. */
  constructor(size: number, options: MemoryOptions, install: Install) {
    this.#install = install;
    const words = new Int32Array(this.header);
    const whoIs = (code: number): Writer => writerOf(words, code);
    this.tracker = new DirtyTracker(() => this.#regions, whoIs);
    this.watches = new WatchList({
      tracker: this.tracker,
      regions: () => this.#regions,
      follow: () => this.#followWatches(),
      whoIs,
    });
    const low = Math.min(size, HOLE_START);
    const high = size - low;
    const lowPlan = planMapping(options, low);
    const highPlan = high === 0 ? undefined : planMapping(continued(options, low), high);
    if (highPlan?.kind === 'wasm') planMapping(options, size); // refuses: more than a WebAssembly.Memory holds here
    this.#base = createMapping(lowPlan, low, 'node-kvm:ram');
    const regions = [plainRegion(0, this.#base, false)];
    if (highPlan !== undefined) {
      regions.push(plainRegion(HOLE_END, createMapping(highPlan, high, 'node-kvm:ram-high'), false));
    }
    this.#regions = regions;
    for (const { mapping } of regions) this.#mappings.set(mapping.buffer, mapping);
  }

  get header(): SharedArrayBuffer {
    return this.#publisher.header;
  }

  get handle(): MemoryHandle {
    return this.#publisher.handle();
  }

  get attached(): boolean {
    return this.#slots.attached;
  }

  /** Publishes the first table. */
  start(): void {
    this.#change([], []);
  }

  /** Host address of guest address 0. */
  hostAddress(): bigint {
    if (!this.#regions.some(region => region.mapping === this.#base)) {
      throw new HypervisorError('ERR_MEMORY_UNMAPPED', 'the base region was removed');
    }
    return this.#base.hostAddr;
  }

  // ── regions ──

  /** Returns the new region's host address. */
  addRegion(
    guestAddr: number,
    size: number,
    plan: MapPlan,
    readOnly: boolean,
    contents: Uint8Array | undefined,
  ): bigint {
    this.#refuseOverlap(guestAddr, size);
    const mapping = createMapping(plan, size, 'node-kvm:region');
    if (contents !== undefined && contents.byteLength > 0) {
      native().copy(new DataView(mapping.buffer), 0, contents, 0, contents.byteLength);
      // After the bytes, as every write through the API; 1 is the owner's number, who is the first.
      new Uint8Array(mapping.marks).fill(1, 0, ((contents.byteLength - 1) >>> PAGE_SHIFT) + 1);
      new Uint8Array(mapping.summary).fill(1);
    }
    this.#add(plainRegion(guestAddr, mapping, readOnly));
    return mapping.hostAddr;
  }

  addExternalRegion(guestAddr: number, hostAddr: bigint, size: number, readOnly: boolean): void {
    this.#refuseOverlap(guestAddr, size);
    const { buffer, base, offset } = placeExternal(hostAddr, size);
    let mapping = this.#mappings.get(buffer);
    if (mapping === undefined) {
      mapping = new Mapping(buffer, base);
      remember(mapping);
    }
    this.#add({ ...plainRegion(guestAddr, mapping, readOnly), offset, size, origin: {} });
  }

  removeRegion(guestAddr: number): void {
    const region = this.#regions.find(each => each.guestAddr === guestAddr);
    if (region === undefined) throw new HypervisorError('ERR_MEMORY_UNMAPPED', `no region begins at ${hex(guestAddr)}`);
    const gone = withoutWatches(this.#regions, region);
    this.#swap(gone, []);
    for (const piece of gone) this.tracker.dismiss(piece);
    if (!this.#regions.some(({ mapping }) => mapping === region.mapping)) region.mapping.letGo();
  }

  /** The range must be mapped without a gap, which the caller has checked. */
  setReadOnly(guestAddr: number, size: number, readOnly: boolean): void {
    const next = withReadOnly(this.#regions, guestAddr, guestAddr + size, readOnly, this.#slots.limit);
    if (next.some(region => !this.#regions.includes(region))) this.#become(next);
  }

  /** Cuts regions at the borders of what is watched, and has slots and tables follow. */
  #followWatches(): void {
    this.#become(withWatched(this.#regions, this.watches.pages, this.#slots.limit));
  }

  #become(next: readonly OwnedRegion[]): void {
    const gone = this.#regions.filter(region => !next.includes(region));
    const fresh = next.filter(region => !this.#regions.includes(region));
    this.#swap(gone, fresh);
  }

  #refuseOverlap(guestAddr: number, size: number): void {
    const taken = this.#regions.find(region => region.guestAddr < guestAddr + size && guestAddr < endOf(region));
    if (taken === undefined) return;
    const asked = placeText({ guestAddr, size });
    throw new HypervisorError('ERR_MEMORY_OVERLAP', `region ${asked} overlaps the region ${placeText(taken)}`);
  }

  #add(region: OwnedRegion): void {
    const slotted = this.#slots.attached ? { ...region, slot: freeSlot(this.#usedSlots(), this.#slots.limit) } : region;
    const all = [...this.#regions, slotted].sort((a, b) => a.guestAddr - b.guestAddr);
    const next = withWatched(all, this.watches.pages, this.#slots.limit);
    this.tracker.admit(slotted);
    try {
      this.#become(next);
    } catch (error) {
      this.tracker.dismiss(slotted);
      throw error;
    }
  }

  #usedSlots(): Set<number> {
    return new Set(this.#regions.flatMap(region => (region.slot === undefined ? [] : [region.slot])));
  }

  /** Replaces regions: KVM's slots, then the list, with the vCPUs outside from the first slot that goes until all threads can know. */
  #swap(gone: readonly OwnedRegion[], fresh: readonly OwnedRegion[]): void {
    this.#slots.replace(gone, fresh, () => this.#change(gone, fresh));
  }

  /** The new list, for this thread and then for all others. */
  #change(gone: readonly OwnedRegion[], fresh: readonly OwnedRegion[]): void {
    const kept = this.#regions.filter(region => !gone.includes(region));
    this.#regions = [...kept, ...fresh].sort((a, b) => a.guestAddr - b.guestAddr);
    for (const { mapping } of fresh) this.#mappings.set(mapping.buffer, mapping);
    const table = this.#regions.map(region => describe(region, this.watches.describe(region)));
    this.#install(table, this.#publisher.generation + 1);
    this.#publisher.publish(table);
  }

  // ── the VM ──

  /** Every region becomes a slot, the lowest ids first. Nothing changed when it throws. */
  attachVm(attachment: VmAttachment): void {
    this.refuseAttached();
    const slotted = this.#regions.map((region, slot) => ({ ...region, slot }));
    this.#slots.attach(attachment, slotted, () => this.#change(this.#regions, slotted));
  }

  detachVm(): void {
    if (!this.#slots.attached) return;
    const bare = this.#regions.map(region => ({ ...region, slot: undefined }));
    this.#slots.detach(this.#regions, () => this.#change(this.#regions, bare));
  }

  refuseAttached(): void {
    if (this.#slots.attached) throw new HypervisorError('ERR_VM_ATTACHED', 'a VM is attached to this memory already');
  }

  registerSlot(request: SlotRequest): void {
    const { slot, guestAddr, size, hostAddr, readOnly } = request;
    if (!this.#slots.attached) {
      throw new HypervisorError('ERR_VM_NOT_ATTACHED', 'registerSlot needs a VM: call attachVmFd() first');
    }
    if (slot >= this.#slots.limit) {
      throw new HypervisorError('ERR_TOO_MANY_SLOTS', `slot ${slot}: this KVM has slots 0 to ${this.#slots.limit - 1}`);
    }
    const region = this.#regions.find(each => each.guestAddr === guestAddr);
    if (region === undefined || region.size !== size || hostAddrOf(region) !== hostAddr) {
      const have = region === undefined ? 'none there' : `${placeText(region)} at host ${hex(hostAddrOf(region))}`;
      throw new HypervisorError(
        'ERR_SLOT_MISMATCH',
        `slot ${slot} as ${placeText({ guestAddr, size })} at host ${hex(hostAddr)} is no region of this memory; the region is ${have}`,
      );
    }
    const holder = this.#regions.find(each => each.slot === slot);
    if (holder !== undefined && holder !== region) {
      throw new HypervisorError('ERR_SLOT_EXISTS', `slot ${slot} is the region ${placeText(holder)}`);
    }
    if (holder === region && region.slotReadOnly === readOnly) return;
    this.#replaceOne(region, { ...region, slot, slotReadOnly: readOnly });
  }

  unregisterSlot(slot: number): void {
    const region = this.#regions.find(each => each.slot === slot);
    if (region === undefined) throw new HypervisorError('ERR_SLOT_UNKNOWN', `there is no slot ${slot}`);
    this.#replaceOne(region, { ...region, slot: undefined, slotReadOnly: false });
  }

  #replaceOne(region: OwnedRegion, next: OwnedRegion): void {
    this.#swap([region], [next]);
  }

  // ── dirty tracking ──

  /** `options` are checked. While it is on: without a source, or with the present one, the sources stay as they are. */
  enableDirtyTracking(options: DirtyTrackingOptions): void {
    this.watches.changeSource(() => this.#track(options));
  }

  disableDirtyTracking(): void {
    this.watches.changeSource(() => this.tracker.disable());
  }

  #track(options: DirtyTrackingOptions): void {
    const { tracker } = this;
    this.#slots.refuseOtherLog(options.log);
    if (tracker.source !== undefined && options.source === undefined) {
      tracker.report(options);
      return;
    }
    const request: SelectionRequest = { options, slots: this.#slots, marks: this.#marks };
    for (let selection = sourcesFor(request); ; ) {
      if (selection.name === tracker.source) {
        tracker.report(options);
        return;
      }
      try {
        tracker.enable(selection, options);
        return;
      } catch (error) {
        // A source that cannot track this memory is not taken; one that failed is the caller's to know of.
        const isRefusal = error instanceof HypervisorError && error.code === 'ERR_DIRTY_SOURCE';
        if (!isRefusal || selection.fallback === undefined) throw error;
        selection = selection.fallback();
      }
    }
  }

  // ── the end ──

  /** From here to `giveBack()`, dispose is refused. */
  lend(): void {
    this.#isLent = true;
  }

  giveBack(): void {
    this.#isLent = false;
  }

  /** Slots, then descriptors, then the table: the mappings go with the last reference to their buffers. */
  dispose(): void {
    if (this.#isLent) {
      throw new HypervisorError('ERR_MEMORY_IN_USE', 'a VirtualMachine runs on this memory: dispose it first');
    }
    this.watches.closeAll();
    this.tracker.close();
    this.#slots.drop();
    for (const mapping of new Set(this.#regions.map(region => region.mapping))) mapping.letGo();
    this.#regions = [];
    this.#publisher.dispose();
  }
}

function plainRegion(guestAddr: number, mapping: Mapping, readOnly: boolean): OwnedRegion {
  const size = mapping.buffer.byteLength;
  return {
    guestAddr,
    size,
    offset: 0,
    mapping,
    readOnly,
    slotReadOnly: false,
    watched: false,
    slot: undefined,
    origin: mapping,
  };
}

/** The options of RAM above the hole: a file goes on where the part below it ends. */
function continued(options: MemoryOptions, low: number): MemoryOptions {
  const { backing } = options;
  if (typeof backing !== 'object' || backing === null) return options;
  return { ...options, backing: { ...backing, offset: BigInt(backing.offset ?? 0) + BigInt(low) } };
}
