// KvmMemory: the public face of guest memory. Validates arguments, traces every operation, and hands changes to the
// MemoryOwner; accesses are GuestMemory's. Thread: any that makes or attaches one; only the making thread owns it. The methods
// are the seed's, camelCased, see docs.

import { native } from '../../../native/index.ts';
import { HypervisorError, invalidType, outOfRange } from '../../../shared/errors.ts';
import { KVM_MEM } from '../../../shared/generated/kvm-abi.ts';
import { checkHandle } from '../../../shared/guest-memory.ts';
import type { MemoryHandle } from '../../../shared/memory-layout.ts';
import { hex, toU64, type U64 } from '../../../shared/units.ts';
import { trace } from '../trace.ts';
import { MemoryOwner } from './memory-owner.ts';
import {
  checkAligned,
  checkBoolean,
  checkPlace,
  checkSize,
  type MemoryOptions,
  planMapping,
  type RegionOptions,
} from './options.ts';
import type { VmAttachment } from './slots.ts';
import { freshHandle } from './table-publisher.ts';
import { platform } from './traced-memory.ts';
import { TrackedMemory } from './tracked-memory.ts';

export type { MemoryRegion } from '../../../shared/guest-memory.ts';
export type { ChangesOptions } from './dirty-changes.ts';
export type { DirtyCursor } from './dirty-cursor.ts';
export type { DirtyHarvest, DirtyPageInfo, WriterPages } from './dirty-harvest.ts';
export type { DirtyTrackingOptions } from './dirty-selection.ts';
export type { DirtySourceName } from './dirty-source.ts';
export type { Backing, FileBacking, MemoryOptions, RegionOptions } from './options.ts';
export type { Quiescer } from './slots.ts';
export type { DirtyCursorOptions } from './tracked-memory.ts';
export type { Watch, WatchCallback, WatchedWrite, WatchOptions } from './watch.ts';

const on = {
  create: trace('memory.create'),
  attach: trace('memory.attach'),
  addRegion: trace('memory.addRegion'),
  addExternalRegion: trace('memory.addExternalRegion'),
  removeRegion: trace('memory.removeRegion'),
  setReadOnly: trace('memory.setReadOnly'),
  attachVmFd: trace('memory.attachVmFd'),
  registerSlot: trace('memory.registerSlot'),
  unregisterSlot: trace('memory.unregisterSlot'),
  hostAddress: trace('memory.hostAddress'),
  dispose: trace('memory.dispose'),
};

/** How `attach` calls the constructor. Not exported, so nobody else can. */
class Attachment {
  constructor(readonly handle: MemoryHandle) {}
}

let ownerOf: (memory: KvmMemory) => MemoryOwner;

/**
 * Guest RAM: mappings of this process that vCPUs, JavaScript and native code use in place. Addresses are guest physical
 * addresses in bytes, number or bigint. `size` bytes of RAM begin at address 0; what exceeds 3 GiB goes on at 4 GiB, as a region of
 * its own. Pages are committed by their first use.
 *
 * All methods are synchronous. Accessors work on every thread that attached; changes (regions, slots, tracking) only on
 * the thread that made the memory, `ERR_STATE` elsewhere. After dispose everything throws `ERR_DISPOSED`.
 */
export class KvmMemory extends TrackedMemory {
  readonly #owner: MemoryOwner | undefined;

  static {
    ownerOf = memory => memory.owned();
  }

  /**
   * Maps `size` bytes of RAM, a multiple of the page size (of the huge page where asked for).
   * @throws `ERR_OUT_OF_RANGE` (0, negative, fractional), `ERR_MEMORY_ALIGNMENT`, `ERR_MEMORY_RANGE`, `ERR_UNKNOWN_OPTION`,
   *   `ERR_INVALID_ARG_TYPE`, `ERR_SYSCALL` (no memory, no huge pages, no such file)
   */
  constructor(size: U64, options?: MemoryOptions);
  /** @internal */
  constructor(attachment: Attachment);
  constructor(what: U64 | Attachment, options: MemoryOptions = {}) {
    if (what instanceof Attachment) {
      super(what.handle.header, platform(), what.handle);
      return;
    }
    const owner = on.create.sync(
      () => ({ size: what, options }),
      () =>
        new MemoryOwner(checkPlace(0, what).bytes, options, (regions, generation) => this.install(regions, generation)),
    );
    super(owner.header, platform());
    this.#owner = owner;
    owner.start();
  }

  /**
   * The memory behind a handle, on any thread of the process: all accessors, no changes.
   * @throws `ERR_INVALID_ARG_TYPE`, `ERR_DISPOSED`, `ERR_TIMEOUT` (an old handle, and its owner's event loop is blocked for 1 s)
   */
  static override attach(handle: MemoryHandle): KvmMemory {
    checkHandle(handle);
    return on.attach.sync(
      () => ({ handle }),
      () => new KvmMemory(new Attachment(freshHandle(handle))),
    );
  }

  /** What to send to another thread, for `KvmMemory.attach`. Structured-clonable; take it anew for each use. */
  get handle(): MemoryHandle {
    return this.owned().handle;
  }

  /** Host address of the base region, which is guest address 0. @throws `ERR_MEMORY_UNMAPPED` after it was removed */
  hostAddress(): bigint {
    return on.hostAddress.sync(
      () => ({ memory: this }),
      () => this.owned().hostAddress(),
    );
  }

  // ── regions ──

  /**
   * Adds RAM at `guestAddr`, and returns its host address. With a VM attached it is a slot at once.
   * @throws `ERR_MEMORY_OVERLAP`, `ERR_MEMORY_ALIGNMENT`, `ERR_MEMORY_RANGE`, `ERR_TOO_MANY_SLOTS`, and as the constructor
   */
  addRegion(guestAddr: U64, size: U64, options: RegionOptions = {}): bigint {
    return on.addRegion.sync(
      () => ({ memory: this, guestAddr, size, options }),
      () => {
        const owner = this.owned();
        const { at, bytes } = checkPlace(guestAddr, size);
        const plan = planMapping(options, bytes, ['readOnly', 'contents']);
        const { readOnly = false, contents } = options;
        checkBoolean(readOnly, 'readOnly');
        if (contents !== undefined && !(contents instanceof Uint8Array))
          throw invalidType('contents', 'a Uint8Array', contents);
        if (contents !== undefined && contents.byteLength > bytes) {
          const given = hex(contents.byteLength);
          throw new HypervisorError('ERR_MEMORY_RANGE', `contents of ${given} bytes for a region of ${hex(bytes)}`);
        }
        return owner.addRegion(at, bytes, plan, readOnly, contents);
      },
    );
  }

  /**
   * Adds memory that somebody else mapped at `hostAddr`. **Unsafe**: it must stay mapped as long as this memory, any buffer
   * of it or a VM exists. Checked as far as the kernel allows: mapped and writable now (always writable, so that a raw view cannot
   * fault; `readOnly` restrains the guest and the accessors). A range within a mapping of this library shares its buffer.
   * @throws `ERR_MEMORY_UNMAPPED` (host range not mapped, or not writable), `ERR_MEMORY_OVERLAP`, and as addRegion
   */
  addExternalRegion(guestAddr: U64, hostAddr: bigint, size: U64, readOnly: boolean): void {
    on.addExternalRegion.sync(
      () => ({ memory: this, guestAddr, hostAddr, size, readOnly }),
      () => {
        const owner = this.owned();
        const { at, bytes } = checkPlace(guestAddr, size);
        checkHostAddress(hostAddr, bytes);
        checkBoolean(readOnly, 'readOnly');
        owner.addExternalRegion(at, hostAddr, bytes, readOnly);
      },
    );
  }

  /**
   * Removes the region that begins at `guestAddr`; vCPUs stop for it and go on. Buffers and views of it stay valid. What `setReadOnly` split are
   * regions of their own, what a watch split goes as a whole.
   * @throws `ERR_MEMORY_UNMAPPED` when none begins there, `ERR_SYSCALL` (nothing was removed then)
   */
  removeRegion(guestAddr: U64): void {
    on.removeRegion.sync(
      () => ({ memory: this, guestAddr }),
      () => this.owned().removeRegion(toU64(guestAddr, 'guestAddr')),
    );
  }

  /**
   * Makes [guestAddr, guestAddr + size) read-only or writable, for the guest (writes become MMIO exits) and the accessors.
   * Regions are split at page boundaries, and pieces that are alike again are joined; what is dirty stays dirty.
   * @throws `ERR_MEMORY_UNMAPPED` for a range with a gap, `ERR_MEMORY_ALIGNMENT`, `ERR_TOO_MANY_SLOTS`, `ERR_SYSCALL`
   */
  setReadOnly(guestAddr: U64, size: U64, readOnly: boolean): void {
    on.setReadOnly.sync(
      () => ({ memory: this, guestAddr, size, readOnly }),
      () => {
        const owner = this.owned();
        const { at, bytes } = checkPlace(guestAddr, size);
        checkBoolean(readOnly, 'readOnly');
        const hole = this.table.cover(at, bytes);
        if (typeof hole === 'number') throw new HypervisorError('ERR_MEMORY_UNMAPPED', `no memory at ${hex(hole)}`);
        owner.setReadOnly(at, bytes, readOnly);
      },
    );
  }

  // ── KVM ──

  /**
   * Makes every region a slot of the VM behind `fd` (ids from 0 up), and regions added later too. The descriptor is duplicated.
   * **Unsafe**: whoever runs the VM's vCPUs keeps them out of KVM_RUN while regions are removed or protected, slots changed,
   * or tracking is toggled; and no other slots are made in that VM. (A VirtualMachine attaches its memory itself, and sees to that.)
   * @throws `ERR_VM_ATTACHED`, `ERR_NOT_A_VM`, `ERR_TOO_MANY_SLOTS`, `ERR_SYSCALL`; nothing is attached then
   */
  attachVmFd(fd: number): void {
    on.attachVmFd.sync(
      () => ({ memory: this, fd }),
      () => {
        const owner = this.owned();
        checkInteger(fd, 'fd', 0x7fff_ffff);
        owner.refuseAttached();
        const vm = native().attachVm(fd);
        try {
          owner.attachVm({ vm, owned: true, quiescer: undefined, ring: false, vcpus: undefined });
        } catch (error) {
          vm.close();
          throw error;
        }
      },
    );
  }

  /**
   * Gives a region the slot id `slot`. All regions of an attached memory have one; this chooses it, or makes the slot read-only
   * for the guest. Place, size and host address must be exactly a region's. `flags`: KVM_MEM_READONLY, KVM_MEM_LOG_DIRTY_PAGES; a
   * read-only region's slot is read-only whatever they say, and logging follows dirty tracking alone.
   * @throws `ERR_VM_NOT_ATTACHED`, `ERR_SLOT_MISMATCH`, `ERR_SLOT_EXISTS`, `ERR_TOO_MANY_SLOTS`, `ERR_OUT_OF_RANGE`, `ERR_SYSCALL`
   */
  registerSlot(slot: number, guestPhysAddr: U64, size: U64, userspaceAddr: bigint, flags: number): void {
    on.registerSlot.sync(
      () => ({ memory: this, slot, guestPhysAddr, size, userspaceAddr, flags }),
      () => {
        const owner = this.owned();
        checkInteger(slot, 'slot', 0xffff_ffff);
        const guestAddr = toU64(guestPhysAddr, 'guestPhysAddr');
        const bytes = checkSize(size);
        checkHostAddress(userspaceAddr, bytes);
        checkInteger(flags, 'flags', 0xffff_ffff);
        const known = KVM_MEM.READONLY | KVM_MEM.LOG_DIRTY_PAGES;
        if ((flags & ~known) !== 0) throw outOfRange('flags', 'KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES', flags);
        const readOnly = (flags & KVM_MEM.READONLY) !== 0;
        owner.registerSlot({ slot, guestAddr, size: bytes, hostAddr: userspaceAddr, readOnly });
      },
    );
  }

  /**
   * Takes the slot away from its region: the guest no longer sees it, the host does. What is dirty stays dirty.
   * @throws `ERR_SLOT_UNKNOWN`, `ERR_SYSCALL`
   */
  unregisterSlot(slot: number): void {
    on.unregisterSlot.sync(
      () => ({ memory: this, slot }),
      () => {
        const owner = this.owned();
        checkInteger(slot, 'slot', 0xffff_ffff);
        owner.unregisterSlot(slot);
      },
    );
  }

  /**
   * Ends the memory: slots are deleted, descriptors closed, every attached thread gets `ERR_DISPOSED`. The mappings go with the last
   * reference to their buffers. Idempotent. On an attached thread: ends that attachment only.
   * @throws `ERR_MEMORY_IN_USE` while a VirtualMachine runs on it
   */
  override [Symbol.dispose](): void {
    if (this.disposed) return;
    on.dispose.sync(
      () => ({ memory: this }),
      () => {
        this.#owner?.dispose();
        super[Symbol.dispose]();
      },
    );
  }

  /** @internal */
  protected override owned(): MemoryOwner {
    if (this.disposed) throw new HypervisorError('ERR_DISPOSED', 'the memory was disposed');
    if (this.#owner === undefined) {
      throw new HypervisorError(
        'ERR_STATE',
        'this thread attached the memory; only the thread that made it can do this',
      );
    }
    return this.#owner;
  }
}

function checkInteger(value: unknown, name: string, max: number): asserts value is number {
  if (typeof value !== 'number') throw invalidType(name, 'a number', value);
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw outOfRange(name, `an integer from 0 to ${max}`, value);
}

function checkHostAddress(value: unknown, size: number): asserts value is bigint {
  if (typeof value !== 'bigint') throw invalidType('host address', 'a bigint', value);
  if (value <= 0n || value + BigInt(size) > 1n << 64n)
    throw outOfRange('host address', 'an address below 2^64 - size', value);
  checkAligned(value, 'host address');
}

/** For a VirtualMachine, whichever its engine: nobody else disposes of the memory under its vCPUs. */
export function lendMemory(memory: KvmMemory): void {
  ownerOf(memory).lend();
}

/** Ends what lendMemory() began. */
export function giveBackMemory(memory: KvmMemory): void {
  ownerOf(memory).giveBack();
}

/**
 * For a VirtualMachine: its VM takes the memory over until `detachNativeVm`; its quiescer stops the vCPUs for changes.
 * @throws as `attachVmFd`
 */
export function attachNativeVm(memory: KvmMemory, attachment: VmAttachment): void {
  ownerOf(memory).attachVm(attachment);
}

/** Deletes the slots (what they logged stays pending) and gives the memory back. The VM is the caller's to close. */
export function detachNativeVm(memory: KvmMemory): void {
  ownerOf(memory).detachVm();
}
