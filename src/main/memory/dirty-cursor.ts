// DirtyCursor: one consumer of dirty pages, with transactions of its own. Thread: the memory's owner.

import { trace } from '../trace.ts';
import type { DirtyHarvest } from './dirty-harvest.ts';

const onHarvest = trace('memory.dirtyCursor.harvest');

/** What a cursor needs of the tracker. */
export interface CursorOrigin {
  readonly harvest: () => DirtyHarvest;
  readonly close: () => void;
}

/**
 * A consumer with a position of its own: each sees every page that was written since *its* last commit, whatever others harvest,
 * commit or abort. A cursor costs a bit per page, and keeps what it has not committed until it is disposed.
 */
export class DirtyCursor {
  readonly name: string;
  readonly #origin: CursorOrigin;

  /** @internal Use `memory.dirtyCursor()`. */
  constructor(name: string, origin: CursorOrigin) {
    this.name = name;
    this.#origin = origin;
  }

  /**
   * The pages written since the last committed harvest of this cursor.
   * @throws `ERR_DISPOSED` (the cursor or its memory was), `ERR_DIRTY_TRACKING_OFF`, `ERR_HARVEST_OPEN`, `ERR_SYSCALL` (and nothing is lost)
   */
  harvest(): DirtyHarvest {
    return onHarvest.sync(
      () => ({ cursor: this }),
      () => this.#origin.harvest(),
    );
  }

  /** Ends the cursor, and aborts its open harvest; its name is free again. Idempotent. */
  [Symbol.dispose](): void {
    this.#origin.close();
  }
}
