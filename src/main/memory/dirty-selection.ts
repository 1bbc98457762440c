// What may be asked of dirty tracking, and which sources that makes. Thread: the one that owns the memory. What works on this machine
// is asked of the probe, and only where it matters.

import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import { probeDirtySource } from './dirty-probe.ts';
import type { DirtySource, DirtySourceName } from './dirty-source.ts';
import { checkBoolean } from './options.ts';
import { PagemapSource } from './pagemap-source.ts';
import type { Slots } from './slots.ts';

export interface DirtyTrackingOptions {
  /**
   * Who is seen writing:
   * 'pagemap': everybody in this process, raw views, WebAssembly and `fs.read` into guest RAM included (Linux 6.7 or newer);
   * 'bitmap': the guest (KVM's log, needs an attached VM) and writes through this API;
   * 'ring': the same by KVM's rings, one per vCPU; chosen when the VM is made (`VirtualMachine.create`);
   * 'host': writes through this API alone (refused while a VM is attached, whose writes it would miss).
   * 'auto' (default): 'pagemap' where it works, else KVM's log of the attached VM (following attachments), else 'host'.
   * `probeDirtySources()` says which work here. Tracking that is on keeps its source, unless another one is named.
   */
  readonly source?: 'auto' | DirtySourceName;
  /**
   * 'dirty': the next harvest of every consumer reports every page, for a full copy first. Default 'clean': pages are dirty that are
   * written from now on.
   */
  readonly initially?: 'clean' | 'dirty';
  /** Note who wrote each page, as far as the source knows (`harvest.writers()`); 2 bytes per page. Default false. */
  readonly attribution?: boolean;
  /**
   * 'huge': a dirty page makes its whole huge page dirty, where the memory was made with huge pages (2 MiB with 'thp' and '2M', 1 GiB
   * with '1G'): fewer and longer ranges, and more bytes to copy. Default 'page'.
   */
  readonly granularity?: 'page' | 'huge';
  /**
   * Of 'bitmap': how KVM logs. 'plain': fetching the log also protects what is dirty again; 'manual': in chunks, of what is dirty only
   * (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2). Default 'plain'.
   */
  readonly log?: 'plain' | 'manual';
  /** Of 'ring', when the VM is made: entries of each vCPU's ring, a power of two from 1024 to 65536. Default 4096. */
  readonly ringEntries?: number;
}

/** What sources are made of. */
export interface SelectionRequest {
  /** Checked. */
  readonly options: DirtyTrackingOptions;
  /** KVM's log; it follows attachments. */
  readonly slots: Slots;
  /** Writes through the API. */
  readonly marks: DirtySource;
}

/** Sources that together see every write that is to be reported; those that can fail come first. */
export interface Selection {
  /** May change with attachments. */
  readonly name: DirtySourceName;
  readonly sources: readonly DirtySource[];
  /** What to take when these are refused (`ERR_DIRTY_SOURCE`) when they start; without it the error is the caller's. */
  readonly fallback?: () => Selection;
}

/** How KVM logs for the memory's VM; undefined: there is no VM. */
export type KvmLog = 'bitmap' | 'ring' | undefined;

export const RING_ENTRIES_DEFAULT = 4096;
/** Below it Intel's part that is kept back (576 entries) leaves little; KVM has no rings above 1 MiB. */
const RING_ENTRIES_MIN = 1024;
const RING_ENTRIES_MAX = 65_536;

const SOURCES = ['auto', 'pagemap', 'bitmap', 'ring', 'host'] as const;
const OPTION_KEYS = ['source', 'initially', 'attribution', 'granularity', 'log', 'ringEntries'] as const;

/**
 * `where`: the memory's own call, or the creation of a VM, where alone rings can be had.
 * @throws `ERR_INVALID_ARG_TYPE`, `ERR_UNKNOWN_OPTION`, `ERR_OUT_OF_RANGE`, `ERR_DIRTY_SOURCE` for a source that there is not, or options
 *   that belong to another one
 */
export function checkTrackingOptions(
  options: DirtyTrackingOptions,
  where: 'enableDirtyTracking' | 'dirtyTracking',
): void {
  if (options === null || typeof options !== 'object') throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, OPTION_KEYS, where);
  const { source = 'auto', attribution = false, granularity = 'page', log, ringEntries } = options;
  if (!SOURCES.includes(source)) {
    throw refusal(`there is no dirty source '${String(source)}' (known: ${SOURCES.join(', ')})`);
  }
  checkInitially(options.initially);
  checkBoolean(attribution, 'attribution');
  if (granularity !== 'page' && granularity !== 'huge')
    throw outOfRange('granularity', "'page' or 'huge'", granularity);
  if (log !== undefined) checkLog(log, source);
  if (ringEntries !== undefined) checkRingEntries(ringEntries, source, where);
}

export function checkInitially(initially: unknown): void {
  if (initially !== undefined && initially !== 'clean' && initially !== 'dirty') {
    throw outOfRange('initially', "'clean' or 'dirty'", initially);
  }
}

function checkLog(log: unknown, source: string): void {
  if (log !== 'plain' && log !== 'manual') throw outOfRange('log', "'plain' or 'manual'", log);
  if (source !== 'bitmap' && source !== 'auto') {
    throw refusal(`log '${log}' is a way of KVM's log: it goes with source 'bitmap' (or 'auto'), not with '${source}'`);
  }
}

function checkRingEntries(entries: unknown, source: string, where: string): void {
  if (typeof entries !== 'number') throw invalidType('ringEntries', 'a number', entries);
  const isPowerOfTwo = Number.isInteger(entries) && (entries & (entries - 1)) === 0;
  if (!isPowerOfTwo || entries < RING_ENTRIES_MIN || entries > RING_ENTRIES_MAX) {
    throw outOfRange('ringEntries', `a power of two from ${RING_ENTRIES_MIN} to ${RING_ENTRIES_MAX}`, entries);
  }
  if (source !== 'ring') throw refusal(`ringEntries goes with source 'ring', not with '${source}'`);
  if (where === 'enableDirtyTracking') {
    throw refusal('the size of the rings is chosen when the VM is made: give ringEntries to VirtualMachine.create');
  }
}

/**
 * Refuses a source that cannot be had with such a VM (or none) on this machine, saying why and what to take; 'auto' always can.
 * @throws `ERR_VM_NOT_ATTACHED`, `ERR_DIRTY_SOURCE`
 */
export function refuseImpossible(source: 'auto' | DirtySourceName, log: KvmLog): void {
  if (source === 'bitmap' && log === undefined) {
    const what = "dirty source 'bitmap' is KVM's log: attach a VM first, or use 'auto'";
    throw new HypervisorError('ERR_VM_NOT_ATTACHED', what);
  }
  if (source === 'bitmap' && log === 'ring') {
    throw refusal(
      "dirty source 'bitmap' cannot be had of a VM that was made with dirty rings: use 'ring' or 'pagemap'",
    );
  }
  if (source === 'ring' && log !== 'ring') {
    throw refusal(
      "dirty source 'ring' is chosen when a VM is made: VirtualMachine.create({ engine: 'kvm', dirtyTracking: { source: 'ring' } })",
    );
  }
  if (source === 'host' && log !== undefined) {
    throw refusal("dirty source 'host' would miss what the attached VM's guest writes: use 'auto'");
  }
  if (source === 'pagemap' || source === 'ring') {
    const { available, reason } = probeDirtySource(source);
    if (!available) throw refusal(`dirty source '${source}' does not work here: ${reason}; use 'auto'`);
  }
}

/** @throws as refuseImpossible, and `ERR_DIRTY_SOURCE` for a way of logging that the VM does not offer */
export function sourcesFor(request: SelectionRequest): Selection {
  const { source = 'auto', log } = request.options;
  const kvmLog = request.slots.log;
  refuseImpossible(source, kvmLog);
  if (log === 'manual' && kvmLog === 'bitmap' && !request.slots.offersManualLog) {
    throw refusal("this KVM has no manual dirty log (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2): use log 'plain'");
  }
  if (source === 'pagemap') return pagemapSelection(request);
  if (source !== 'auto') return logSelection(request);
  const { available, seen } = probeDirtySource('pagemap');
  if (!available || (kvmLog !== undefined && seen.guest !== true)) return logSelection(request);
  // Memory that somebody else tracks already can still be logged.
  return { ...pagemapSelection(request), fallback: () => logSelection(request) };
}

function pagemapSelection({ marks }: SelectionRequest): Selection {
  // Pages know that they were written, marks by whom: they come last, and theirs is the word that stays.
  return { name: 'pagemap', sources: [new PagemapSource(), marks] };
}

/** KVM's log where a VM is attached, now or later. */
function logSelection({ options, slots, marks }: SelectionRequest): Selection {
  const manual = options.log === 'manual';
  slots.configure({ manual, initiallySet: manual && options.initially === 'dirty' });
  return {
    get name() {
      return slots.log ?? 'host';
    },
    sources: [slots, marks],
  };
}

function refusal(message: string): HypervisorError {
  return new HypervisorError('ERR_DIRTY_SOURCE', message);
}
