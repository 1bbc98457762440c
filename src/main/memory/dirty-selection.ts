// What may be asked of dirty tracking, and which sources that makes. Pure; any thread that owns memory.

import { HypervisorError, invalidType, outOfRange, refuseUnknownKeys } from '../../../shared/errors.ts';
import type { DirtySource, DirtySourceName } from './dirty-source.ts';
import { checkBoolean } from './options.ts';

export interface DirtyTrackingOptions {
  /**
   * 'bitmap': KVM's log and writes through the API (needs an attached VM); 'host': writes through the API alone (refused while
   * a VM is attached, whose writes it would miss); 'auto' (default): 'bitmap' with a VM, else 'host', following attachments.
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
}

/** What sources are made of. */
export interface SelectionRequest {
  /** Checked. */
  readonly options: DirtyTrackingOptions;
  /** Asked whenever it matters: how KVM logs for the attached VM; undefined without one. */
  readonly log: () => 'bitmap' | 'ring' | undefined;
  /** KVM's log; it follows attachments. */
  readonly slots: DirtySource;
  /** Writes through the API. */
  readonly marks: DirtySource;
}

/** Sources that together see every write that is to be reported; those that can fail come first. */
export interface Selection {
  /** May change with attachments. */
  readonly name: DirtySourceName;
  readonly sources: readonly DirtySource[];
  /** What to take when these do not start; without it the error is the caller's. */
  readonly fallback?: () => Selection;
}

const OPTION_KEYS = ['source', 'initially', 'attribution', 'granularity'] as const;

/** @throws `ERR_INVALID_ARG_TYPE`, `ERR_UNKNOWN_OPTION`, `ERR_OUT_OF_RANGE`, `ERR_DIRTY_SOURCE` for a source that there is not */
export function checkTrackingOptions(options: DirtyTrackingOptions, what: string): void {
  if (options === null || typeof options !== 'object') throw invalidType('options', 'an object', options);
  refuseUnknownKeys(options, OPTION_KEYS, what);
  const { source = 'auto', attribution = false, granularity = 'page' } = options;
  if (!['auto', 'bitmap', 'host'].includes(source)) {
    throw new HypervisorError(
      'ERR_DIRTY_SOURCE',
      `there is no dirty source '${String(source)}' (known: auto, bitmap, host)`,
    );
  }
  checkInitially(options.initially);
  checkBoolean(attribution, 'attribution');
  if (granularity !== 'page' && granularity !== 'huge') {
    throw outOfRange('granularity', "'page' or 'huge'", granularity);
  }
}

export function checkInitially(initially: unknown): void {
  if (initially !== undefined && initially !== 'clean' && initially !== 'dirty') {
    throw outOfRange('initially', "'clean' or 'dirty'", initially);
  }
}

/** @throws `ERR_VM_NOT_ATTACHED`, `ERR_DIRTY_SOURCE` for a source that cannot be had here */
export function sourcesFor(request: SelectionRequest): Selection {
  const { options, log, slots, marks } = request;
  const { source = 'auto' } = options;
  if (source === 'bitmap' && log() === undefined) {
    throw new HypervisorError(
      'ERR_VM_NOT_ATTACHED',
      "dirty source 'bitmap' is KVM's log: attach a VM first, or use 'auto'",
    );
  }
  if (source === 'host' && log() !== undefined) {
    throw new HypervisorError(
      'ERR_DIRTY_SOURCE',
      "dirty source 'host' would miss what the attached VM's guest writes: use 'auto'",
    );
  }
  return {
    get name() {
      return log() ?? 'host';
    },
    sources: [slots, marks],
  };
}
