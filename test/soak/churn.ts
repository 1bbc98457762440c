// Changes of the memory while everybody writes: regions removed, added, split by protection, joined; another source and back. Main
// thread.

import type { DirtyTrackingOptions, KvmMemory } from 'node-kvm';
import { ALIAS, ALIAS_OFFSET, CHURN, ODD, PAGE, type Place, PROTECTED, SINGLE } from './layout.ts';
import type { Random } from './random.ts';
import type { Writers } from './writers.ts';

const at = (place: Place) => [place.first * PAGE, place.pages * PAGE] as const;

export interface Change {
  run(): void;
  /** New memory lies here after it: zeros, whatever a copy has. */
  readonly cleared?: { readonly start: number; readonly size: number };
}

export class Churn {
  readonly #memory: KvmMemory;
  readonly #random: Random;
  readonly #writers: Writers;
  readonly #tracking: DirtyTrackingOptions;
  readonly #other: DirtyTrackingOptions | undefined;
  #isOther = false;
  #isProtected = false;
  #changes = 0;

  /** `tracking`: the source that is on; `other`: one that sees all that it sees, if there is one here. */
  constructor(
    memory: KvmMemory,
    random: Random,
    writers: Writers,
    tracking: DirtyTrackingOptions,
    other: DirtyTrackingOptions | undefined,
  ) {
    this.#tracking = tracking;
    this.#other = other;
    this.#memory = memory;
    this.#random = random;
    this.#writers = writers;
  }

  /** Beside base RAM: the regions that the run begins with. */
  static addRegions(memory: KvmMemory): void {
    const odd = memory.addRegion(...at(ODD));
    memory.addRegion(...at(SINGLE));
    memory.addRegion(...at(CHURN));
    memory.addExternalRegion(ALIAS.first * PAGE, odd + BigInt(ALIAS_OFFSET), ALIAS.pages * PAGE, false);
  }

  get changes(): number {
    return this.#changes;
  }

  /** Back to the source that the run is about. */
  settle(): void {
    if (this.#isOther) this.#switch();
  }

  next(): Change {
    this.#changes += 1;
    // The other source is on for a while only: this run is about the first one.
    if (this.#isOther) return { run: () => this.#switch() };
    const [start, size] = at(CHURN);
    return this.#random.pick<Change>([
      ...(this.#other === undefined ? [] : [{ run: () => this.#switch() }]),
      { run: () => this.#protect() },
      { run: () => this.#addSame(start, size) },
      { run: () => this.#addNew(start, size), cleared: { start, size } },
    ]);
  }

  #switch(): void {
    this.#isOther = !this.#isOther;
    this.#memory.enableDirtyTracking(this.#isOther ? (this.#other ?? this.#tracking) : this.#tracking);
  }

  #protect(): void {
    this.#isProtected = !this.#isProtected;
    this.#memory.setReadOnly(...at(PROTECTED), this.#isProtected);
  }

  /** Gone and back, with the same memory: what was written before it went, through the API even meanwhile, is not forgotten. */
  #addSame(start: number, size: number): void {
    const region = this.#memory.regions().find(({ guestAddr }) => guestAddr === start);
    if (region === undefined) throw new Error('the region to remove is not there');
    // Raw stores into memory that is no guest's are nobody's business: such writers rest meanwhile.
    this.#writers.withoutUnseen(() => {
      this.#memory.removeRegion(start);
      this.#memory.addExternalRegion(start, region.hostAddr, size, false);
    });
  }

  #addNew(start: number, size: number): void {
    this.#memory.removeRegion(start);
    this.#memory.addRegion(start, size);
  }
}
