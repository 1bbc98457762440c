// The kernel's own write tracking (userfaultfd WP_ASYNC and PAGEMAP_SCAN, Linux >= 6.7) as a source of dirty pages: it sees every write
// of this process to the mappings, whoever makes it. Thread: the memory's owner. Whole mappings are tracked, whatever part of one the
// regions show: a mapping is registered once however often it is mapped, and splitting or joining regions changes nothing here.

import { type NativePageTracker, native } from '../../../native/index.ts';
import { HypervisorError, isHypervisorError } from '../../../shared/errors.ts';
import { hex } from '../../../shared/units.ts';
import { WRITER_UNKNOWN } from '../../../shared/writer.ts';
import type { DirtySource } from './dirty-source.ts';
import type { Mapping } from './mapping.ts';
import type { OwnedRegion } from './region-list.ts';

const EPERM = 1;
const EBUSY = 16;
const EINVAL = 22;

export class PagemapSource implements DirtySource {
  /** Open while it records. */
  #tracker: NativePageTracker | undefined;
  readonly #registered = new Set<Mapping>();

  /** @throws `ERR_DIRTY_SOURCE` when the kernel cannot track one of the mappings, `ERR_SYSCALL` */
  start(regions: readonly OwnedRegion[]): void {
    if (this.#tracker !== undefined) return;
    this.#tracker = native().openPageTracker();
    try {
      for (const region of regions) this.admit(region);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Only the scan can fail: closing the tracker ends all registrations at once. */
  stop(regions: readonly OwnedRegion[]): void {
    this.collect(regions);
    this.close();
  }

  /** A scan of each mapping, two nanoseconds for a clean page. What a failing scan had found by then is in *fresh*. */
  collect(_regions: readonly OwnedRegion[]): void {
    for (const mapping of this.#registered) this.#scan(mapping);
  }

  admit(region: OwnedRegion): void {
    const { mapping } = region;
    const tracker = this.#tracker;
    if (tracker === undefined || this.#registered.has(mapping)) return;
    try {
      tracker.register(mapping.hostAddr, mapping.buffer.byteLength);
    } catch (error) {
      throw refusal(error, mapping);
    }
    this.#registered.add(mapping);
  }

  /** Its last pages are in *fresh*, should the mapping come back. */
  dismiss(region: OwnedRegion, left: readonly OwnedRegion[]): void {
    const { mapping } = region;
    if (!this.#registered.has(mapping) || left.some(each => each.mapping === mapping)) return;
    try {
      this.#scan(mapping);
    } catch {
      // What was not scanned may have been written.
      mapping.fresh.addRange(0, mapping.pages);
      mapping.noteFresh(mapping.pages);
    }
    this.#registered.delete(mapping);
    try {
      this.#tracker?.unregister(mapping.hostAddr, mapping.buffer.byteLength);
    } catch {
      // It stays registered, which costs a fault per page and is harmless: the kernel lets the same tracker register it again.
    }
  }

  close(): void {
    this.#tracker?.close();
    this.#tracker = undefined;
    this.#registered.clear();
  }

  #scan(mapping: Mapping): void {
    const { hostAddr, buffer, fresh, writers = null } = mapping;
    // A call that fails halfway may have found some.
    let found = 1;
    try {
      // A page table knows that a page was written, not by whom.
      found = this.#tracker?.scan(hostAddr, buffer.byteLength, fresh.bytes, writers, WRITER_UNKNOWN) ?? 0;
    } finally {
      mapping.noteFresh(found);
    }
  }
}

/** What the kernel says about memory that cannot be tracked, as a reason that says what to do; other failures as they are. */
function refusal(error: unknown, mapping: Mapping): unknown {
  if (!isHypervisorError(error) || error.code !== 'ERR_SYSCALL') return error;
  const reason = reasonOf(error.errno);
  if (reason === undefined) return error;
  const { hostAddr, buffer } = mapping;
  const place = `[${hex(hostAddr)}, ${hex(hostAddr + BigInt(buffer.byteLength))})`;
  return new HypervisorError(
    'ERR_DIRTY_SOURCE',
    `dirty source 'pagemap' cannot track host memory ${place}: ${reason}; use source 'bitmap' (with a VM) or 'host' instead`,
    { cause: error, ...(error.errno === undefined ? {} : { errno: error.errno }) },
  );
}

function reasonOf(errno: number | undefined): string | undefined {
  switch (errno) {
    case EBUSY:
      return 'another tracker has it (a KvmMemory that shares this memory and tracks it, or a userfaultfd of this process)';
    case EINVAL:
      return 'this kernel cannot write-protect memory of this kind';
    case EPERM:
      return 'it may not be written';
    default:
      return undefined;
  }
}
