// Whose pages those of a harvest are, as far as its writers tell, or KVM's rings. Main thread. For dirty-rate.ts and dirty-limit.ts.

import type { DirtyCursor, DirtyHarvest, DirtySourceName } from '../memory/kvm-memory.ts';

/** What rates and limits need of a VM. */
export interface SharesHost {
  readonly vcpus: number;
  readonly source: () => DirtySourceName | undefined;
  /** Entries that were harvested of a vCPU's ring so far. Source 'ring' only. */
  readonly ringEntries: (vcpu: number) => number;
}

export interface DirtyShares {
  /** Pages by vCPU, which surely are its own. */
  readonly vcpus: readonly number[];
  /** Pages that one of the vCPUs wrote, or nobody knows who. */
  readonly others: number;
  /** Pages that threads of the host wrote through the API, where that is known. */
  readonly host: number;
}

/** Counts the pages of harvests by writer, one harvest after the other. */
export class ShareCounter {
  readonly #host: SharesHost;
  #entries: number[] | undefined;

  constructor(host: SharesHost) {
    this.#host = host;
  }

  /** The pages of `harvest`; with rings, what they brought since the last count. */
  count(harvest: DirtyHarvest): DirtyShares {
    const vcpus = new Array<number>(this.#host.vcpus).fill(0);
    let others = 0;
    let host = 0;
    for (const { writer, pages } of harvest.writers()) {
      if (writer.kind === 'vcpu') vcpus[writer.index] = (vcpus[writer.index] ?? 0) + pages;
      else if (writer.kind === 'thread') host += pages;
      else others += pages;
    }
    const rings = this.#countRings();
    return rings === undefined ? { vcpus, others, host } : { vcpus: rings, others: 0, host };
  }

  #countRings(): number[] | undefined {
    if (this.#host.source() !== 'ring') {
      this.#entries = undefined;
      return undefined;
    }
    const entries = Array.from({ length: this.#host.vcpus }, (_, vcpu) => this.#host.ringEntries(vcpu));
    const before = this.#entries ?? entries;
    this.#entries = entries;
    return entries.map((count, vcpu) => count - (before[vcpu] ?? count));
  }
}

/** Harvests what was dirtied since the cursor's last harvest, and commits: how many pages, and whose they are. */
export function countDirty(cursor: DirtyCursor, counter: ShareCounter) {
  using harvest = cursor.harvest();
  const counted = { pages: harvest.pageCount, shares: counter.count(harvest) };
  harvest.commit();
  return counted;
}
