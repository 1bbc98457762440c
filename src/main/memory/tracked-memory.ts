// TrackedMemory: the part of the public face of guest memory that tells of writes: dirty tracking and watches. Validates arguments, traces every operation, and hands
// them to the owner's tracker. Thread: the one that made the memory.

import { HypervisorError, invalidType, refuseUnknownKeys } from '../../../shared/errors.ts';
import { hex, type U64 } from '../../../shared/units.ts';
import { trace } from '../trace.ts';
import { type ChangesOptions, changes } from './dirty-changes.ts';
import type { DirtyCursor } from './dirty-cursor.ts';
import type { DirtyHarvest, DirtyPageInfo } from './dirty-harvest.ts';
import { checkInitially, checkTrackingOptions, type DirtyTrackingOptions } from './dirty-selection.ts';
import type { DirtySourceName } from './dirty-source.ts';
import type { MemoryOwner } from './memory-owner.ts';
import { checkBoolean } from './options.ts';
import { TracedMemory } from './traced-memory.ts';
import { checkWatch, type Watch, type WatchCallback, type WatchOptions } from './watch.ts';

export interface DirtyCursorOptions {
  /** 'dirty': the first harvest reports every page. Default 'clean': what is written from now on. */
  readonly initially?: 'clean' | 'dirty';
}

const on = {
  enableDirtyTracking: trace('memory.enableDirtyTracking'),
  disableDirtyTracking: trace('memory.disableDirtyTracking'),
  getDirtyPages: trace('memory.getDirtyPages'),
  harvest: trace('memory.harvest'),
  dirtyCursor: trace('memory.dirtyCursor'),
  changes: trace('memory.changes'),
  watch: trace('memory.watch'),
};

export abstract class TrackedMemory extends TracedMemory {
  /** @internal The owner. @throws `ERR_DISPOSED`; `ERR_STATE` on a thread that attached */
  protected abstract owned(): MemoryOwner;

  /** Same as enableDirtyTracking() or disableDirtyTracking(). */
  setDirtyTrackingEnabled(enabled: boolean): void {
    checkBoolean(enabled, 'enabled');
    if (enabled) this.enableDirtyTracking();
    else this.disableDirtyTracking();
  }

  /**
   * Starts recording which pages are written: by the guest, and through this API on any thread; which other writes are seen is the
   * source's. While it is on: chooses another source, losing nothing in between, or is a no-op with the same one or none (the other
   * options take effect). All of it records, or nothing has changed and it throws.
   * @throws `ERR_SYSCALL`, `ERR_DIRTY_SOURCE` for a source that cannot be had, `ERR_VM_NOT_ATTACHED`, `ERR_OUT_OF_RANGE`,
   *   `ERR_UNKNOWN_OPTION`, `ERR_INVALID_ARG_TYPE`
   */
  enableDirtyTracking(options: DirtyTrackingOptions = {}): void {
    on.enableDirtyTracking.sync(
      () => ({ memory: this, options }),
      () => {
        const owner = this.owned();
        checkTrackingOptions(options, 'enableDirtyTracking');
        owner.enableDirtyTracking(options);
      },
    );
  }

  /** The source in use; undefined while tracking is off. 'host' becomes 'bitmap' or 'ring' when a VM is attached. */
  get dirtySource(): DirtySourceName | undefined {
    return this.owned().tracker.source;
  }

  /**
   * Stops recording. What was recorded is kept, and reported by the first harvest after tracking is on again; writes in between are
   * not. Idempotent. @throws `ERR_SYSCALL`; tracking is on as before then
   */
  disableDirtyTracking(): void {
    on.disableDirtyTracking.sync(
      () => ({ memory: this }),
      () => this.owned().disableDirtyTracking(),
    );
  }

  /**
   * The memory written since the last call (or committed harvest), ascending and merged; whole pages. Reads and clears:
   * `harvest()` and `commit()` in one.
   * @throws `ERR_DIRTY_TRACKING_OFF`, `ERR_HARVEST_OPEN`, `ERR_SYSCALL` (and nothing is lost)
   */
  getDirtyPages(): DirtyPageInfo[] {
    return on.getDirtyPages.sync(
      () => ({ memory: this }),
      () => {
        using harvest = this.owned().tracker.harvest();
        const ranges = harvest.ranges();
        harvest.commit();
        return ranges;
      },
    );
  }

  /** Opens a harvest: look at it, then `commit()` or `abort()`. @throws as `getDirtyPages` */
  harvest(): DirtyHarvest {
    return on.harvest.sync(
      () => ({ memory: this }),
      () => this.owned().tracker.harvest(),
    );
  }

  /**
   * A consumer of its own, with transactions of its own: it sees every page that is written from now on, whatever others harvest
   * (`initially` 'dirty': every page, the first time). One kernel harvest feeds all. Dispose it when it is no longer needed.
   * Cursors stay when tracking is turned off and on.
   * @throws `ERR_CURSOR_EXISTS` while one of that name is open, `ERR_SYSCALL` (what was written up to here could not be harvested),
   *   `ERR_STATE` beyond 4000 cursors, `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`, `ERR_UNKNOWN_OPTION`
   */
  dirtyCursor(name: string, options: DirtyCursorOptions = {}): DirtyCursor {
    return on.dirtyCursor.sync(
      () => ({ memory: this, name, options }),
      () => {
        const owner = this.owned();
        if (typeof name !== 'string') throw invalidType('name', 'a string', name);
        if (options === null || typeof options !== 'object') throw invalidType('options', 'an object', options);
        refuseUnknownKeys(options, ['initially'], 'dirtyCursor');
        checkInitially(options.initially);
        return owner.tracker.cursor(name, options.initially);
      },
    );
  }

  /**
   * Dirty pages as a stream, on a cursor of its own that begins with the first step: a harvest every `every` milliseconds at most, and only when
   * something was written. Asking for the next one commits the last; `break`, `return` or a throw in the loop aborts it. Waiting keeps the
   * process alive. Ends when the memory is disposed; each step throws what `harvest()` throws, `ERR_ABORTED` after the signal. (`return()` waits for a
   * step that is under way, as with any async generator: the signal does not.)
   * @throws `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`, `ERR_UNKNOWN_OPTION`, `ERR_DIRTY_TRACKING_OFF`
   */
  changes(options: ChangesOptions): AsyncGenerator<DirtyHarvest, void, void> {
    return on.changes.sync(
      () => ({ memory: this, options }),
      () => changes(this.owned().tracker, options),
    );
  }

  /**
   * Calls back for every write to [guestAddr, guestAddr + size), which is any byte range: by this API on any thread, and by the guest of a
   * VirtualMachine. A write that lies in the range in part is reported with that part.
   *
   * Callbacks come from this thread's event loop, after the write and never within one, for each writer in the order of its writes. What one
   * throws becomes a process warning (`ERR_WATCH_CALLBACK`). Up to 4096 reports wait; `watch.lost` counts what did not fit. A watch does not
   * keep the process alive.
   *
   * The guest's writes to the pages of the range, also outside of it, become exits (some 10 to 30 µs each): their slot is read-only, and KVM
   * emulates the instruction. An instruction that KVM cannot emulate ends the VM (`ERR_VCPU_INTERNAL`), or is never got past
   * (`fxsave`, seen with PVM: the vCPU stays in KVM_RUN until it is stopped). An atomic instruction
   * (`lock xadd`) is a load and a store there, not atomic against other vCPUs and threads. Where the guest's own page tables lie is
   * nothing to watch: KVM sets no accessed and dirty bits in read-only memory. Regions are split at those pages, as setReadOnly does, until
   * the watch is closed. A guest's write to what is read-only is none. Addresses whose region is removed have no writes, until one is added
   * there again.
   *
   * Not seen: guests of VMs that were attached with attachVmFd; raw stores (`view()`, Wasm, `fs.read`), unless dirty tracking is on with
   * source 'pagemap': then every `every` ms each page of the range that was written, and not through the API, is reported whole (its part
   * of the range), with an unknown writer and no data. The store may have been elsewhere in that page.
   * @throws `ERR_MEMORY_UNMAPPED` for a range with a gap, `ERR_OUT_OF_RANGE`, `ERR_INVALID_ARG_TYPE`, `ERR_TOO_MANY_SLOTS`, `ERR_SYSCALL`
   */
  watch(
    range: { readonly guestAddr: U64; readonly size: U64 },
    callback: WatchCallback,
    options: WatchOptions = {},
  ): Watch {
    return on.watch.sync(
      () => ({ memory: this, range, options }),
      () => {
        const owner = this.owned();
        const request = checkWatch(range, callback, options);
        const hole = this.table.cover(request.start, request.end - request.start);
        if (typeof hole === 'number') throw new HypervisorError('ERR_MEMORY_UNMAPPED', `no memory at ${hex(hole)}`);
        return owner.watches.open(request);
      },
    );
  }
}
